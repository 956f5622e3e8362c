//! Meshes of devices.

use einmesh_artifact::Manifest;
use std::borrow::Cow;
use std::fmt;

/// The devices that a program is compiled for: a grid with named axes. On a CPU they are virtual ones of this
/// process; each has memory of its own, and results do not depend on how many there are.
///
/// ```
/// use einmesh::Mesh;
///
/// const POD: Mesh = Mesh::new(&[(std::borrow::Cow::Borrowed("data"), 2)]);
/// assert_eq!(POD.devices(), 2);
/// assert_eq!(POD.extent("data"), Some(2));
/// assert_eq!(POD.to_string(), "data=2");
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mesh {
    axes: Cow<'static, [(Cow<'static, str>, usize)]>,
}

impl Mesh {
    /// A mesh with these axes, major to minor; without any it is one device.
    pub const fn new(axes: &'static [(Cow<'static, str>, usize)]) -> Mesh {
        Mesh { axes: Cow::Borrowed(axes) }
    }

    /// What a program was compiled for.
    pub(crate) fn of(manifest: &Manifest) -> Mesh {
        let axes = manifest.mesh.iter();
        let axes = axes.map(|axis| (Cow::Owned(axis.name.clone()), axis.size as usize));
        Mesh { axes: Cow::Owned(axes.collect()) }
    }

    /// The axes with their extents, major to minor.
    pub fn axes(&self) -> impl Iterator<Item = (&str, usize)> {
        self.axes.iter().map(|(name, extent)| (&**name, *extent))
    }

    /// How many devices there are along an axis; `None` if there is no such axis.
    pub fn extent(&self, axis: &str) -> Option<usize> {
        self.axes().find(|(name, _)| *name == axis).map(|(_, extent)| extent)
    }

    /// How many devices there are.
    pub fn devices(&self) -> usize {
        self.axes().map(|(_, extent)| extent).product()
    }
}

impl fmt::Display for Mesh {
    /// As the command line takes it: `data=2,tensor=4`; `none` without axes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let axes: Vec<String> = self.axes().map(|(name, n)| format!("{name}={n}")).collect();
        f.write_str(if axes.is_empty() { "none" } else { "" })?;
        f.write_str(&axes.join(","))
    }
}

//! Lays ELF objects out as one position-independent image: code pages, read-only pages, import slots.
//!
//! This is all the linking there is: every reference is resolved here, relative to the instruction
//! that makes it, so that the runtime only has to map the pages and fill in the slots.

use crate::error::CompilerBug;
use einmesh_artifact::CodeImage;
use object::elf;
use object::read::elf::ElfFile64;
use object::{
    Object, ObjectSection, ObjectSymbol, RelocationFlags, RelocationTarget, SectionIndex,
    SectionKind, SymbolIndex,
};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

/// The functions of the C library that LLVM may call on its own.
const ALLOWED: [&str; 3] = ["memcpy", "memmove", "memset"];
const PAGE: usize = 4096;
/// `jmp *slot(%rip)` and two bytes of padding.
const STUB: usize = 8;

/// An image and where the exported functions are.
#[derive(Debug)]
pub struct Image {
    /// Its description.
    pub code: CodeImage,
    /// The pages, without the slots.
    pub bytes: Vec<u8>,
    /// The first byte of each exported function.
    pub entries: BTreeMap<String, u64>,
}

/// Where a section of an object lies in the image.
type Placement = BTreeMap<usize, usize>;

struct Layout<'d> {
    objects: Vec<(ElfFile64<'d>, Placement)>,
    bytes: Vec<u8>,
    imports: Vec<String>,
    /// Where the stubs start: one per import.
    stubs: usize,
    /// Where the slots start: at the end of the pages.
    slots: usize,
}

/// Lays out `objects` as the image of `level`.
pub fn link(level: &str, objects: &[Vec<u8>]) -> Result<Image, CompilerBug> {
    let mut layout =
        Layout { objects: Vec::new(), bytes: Vec::new(), imports: Vec::new(), stubs: 0, slots: 0 };
    for data in objects {
        let object = ElfFile64::parse(&data[..])
            .map_err(|e| CompilerBug::new(format!("LLVM's object is malformed: {e}")))?;
        layout.objects.push((object, Placement::new()));
    }
    layout.collect_imports()?;
    layout.place(|kind| kind == SectionKind::Text)?;
    layout.stubs = layout.bytes.len().next_multiple_of(STUB);
    layout.bytes.resize(layout.stubs + STUB * layout.imports.len(), 0xCC);
    layout.pad();
    let text = layout.bytes.len();
    layout.place(|kind| matches!(kind, SectionKind::ReadOnlyData | SectionKind::ReadOnlyString))?;
    layout.pad();
    layout.slots = layout.bytes.len();
    layout.write_stubs()?;
    layout.relocate()?;
    let entries = layout.entries();
    let hash: Vec<String> =
        Sha256::digest(&layout.bytes).iter().map(|b| format!("{b:02x}")).collect();
    let code = CodeImage {
        level: level.to_string(),
        text: text as u64,
        rodata: (layout.bytes.len() - text) as u64,
        imports: layout.imports,
        stubs: layout.stubs as u64,
        sha256: hash.concat(),
    };
    Ok(Image { code, bytes: layout.bytes, entries })
}

impl Layout<'_> {
    fn collect_imports(&mut self) -> Result<(), CompilerBug> {
        for (object, _) in &self.objects {
            for symbol in object.symbols().filter(|s| s.is_undefined()) {
                let name = symbol.name().unwrap_or_default();
                if name.is_empty() || self.imports.iter().any(|i| i == name) {
                    continue;
                }
                if !ALLOWED.contains(&name) {
                    return Err(CompilerBug::new(format!(
                        "generated code calls `{name}`, which no image has"
                    )));
                }
                self.imports.push(name.to_string());
            }
        }
        self.imports.sort_unstable();
        Ok(())
    }

    /// Appends the sections of some kinds, each at its alignment.
    fn place(&mut self, wanted: impl Fn(SectionKind) -> bool) -> Result<(), CompilerBug> {
        for (object, placement) in &mut self.objects {
            for section in object.sections() {
                let name = section.name().unwrap_or_default();
                match section.kind() {
                    kind if wanted(kind) => {}
                    SectionKind::Data
                    | SectionKind::UninitializedData
                    | SectionKind::ReadOnlyDataWithRel
                        if section.size() > 0 =>
                    {
                        let message = format!("generated code has writable data in `{name}`");
                        return Err(CompilerBug::new(message));
                    }
                    _ => continue,
                }
                let data = section.data().map_err(|e| CompilerBug::new(e.to_string()))?;
                let align = section.align().max(1) as usize;
                let start = self.bytes.len().next_multiple_of(align);
                self.bytes.resize(start, 0xCC);
                self.bytes.extend_from_slice(data);
                placement.insert(section.index().0, start);
            }
        }
        Ok(())
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(PAGE), 0xCC);
    }

    fn write_stubs(&mut self) -> Result<(), CompilerBug> {
        for import in 0..self.imports.len() {
            let stub = self.stubs + import * STUB;
            let slot = self.slots + import * 8;
            let distance = distance(slot, stub + 6, 0)?;
            self.bytes[stub..stub + 2].copy_from_slice(&[0xFF, 0x25]);
            self.bytes[stub + 2..stub + 6].copy_from_slice(&distance.to_le_bytes());
        }
        Ok(())
    }

    /// Where a symbol's first byte is in the image.
    fn address(&self, object: usize, symbol: SymbolIndex) -> Result<usize, CompilerBug> {
        let (file, placement) = &self.objects[object];
        let symbol = file
            .symbol_by_index(symbol)
            .map_err(|e| CompilerBug::new(format!("a relocation without symbol: {e}")))?;
        let name = symbol.name().unwrap_or_default();
        if symbol.is_undefined() {
            let import = self.imports.iter().position(|i| i == name);
            let import =
                import.ok_or_else(|| CompilerBug::new(format!("`{name}` is undefined")))?;
            return Ok(self.stubs + import * STUB);
        }
        let section = symbol.section_index().and_then(|s| placement.get(&s.0));
        let section = section.ok_or_else(|| {
            CompilerBug::new(format!("`{name}` is in a section that is not laid out"))
        })?;
        Ok(section + symbol.address() as usize)
    }

    fn relocate(&mut self) -> Result<(), CompilerBug> {
        let mut patches: Vec<(usize, i32)> = Vec::new();
        for (number, (object, placement)) in self.objects.iter().enumerate() {
            for (section, start) in placement {
                let section = object
                    .section_by_index(SectionIndex(*section))
                    .map_err(|e| CompilerBug::new(e.to_string()))?;
                for (offset, relocation) in section.relocations() {
                    let RelocationFlags::Elf { r_type } = relocation.flags() else {
                        return Err(CompilerBug::new("a relocation that is not ELF's"));
                    };
                    if !matches!(r_type, elf::R_X86_64_PC32 | elf::R_X86_64_PLT32) {
                        let message =
                            format!("a relocation of type {r_type}, which is not relative");
                        return Err(CompilerBug::new(message));
                    }
                    let RelocationTarget::Symbol(symbol) = relocation.target() else {
                        return Err(CompilerBug::new("a relocation without symbol"));
                    };
                    let place = start + offset as usize;
                    let target = self.address(number, symbol)?;
                    patches.push((place, distance(target, place, relocation.addend())?));
                }
            }
        }
        for (place, value) in patches {
            let field = self.bytes.get_mut(place..place + 4);
            let field =
                field.ok_or_else(|| CompilerBug::new("a relocation outside of its section"))?;
            field.copy_from_slice(&value.to_le_bytes());
        }
        Ok(())
    }

    fn entries(&self) -> BTreeMap<String, u64> {
        let mut entries = BTreeMap::new();
        for (object, placement) in &self.objects {
            for symbol in object.symbols().filter(|s| s.is_definition() && s.is_global()) {
                let start = symbol.section_index().and_then(|s| placement.get(&s.0));
                if let (Some(start), Ok(name)) = (start, symbol.name()) {
                    entries.insert(name.to_string(), *start as u64 + symbol.address());
                }
            }
        }
        entries
    }
}

/// `target + addend - place`, as relocations have it.
fn distance(target: usize, place: usize, addend: i64) -> Result<i32, CompilerBug> {
    let distance = target as i64 + addend - place as i64;
    i32::try_from(distance).map_err(|_| CompilerBug::new("an image exceeds two gigabytes"))
}

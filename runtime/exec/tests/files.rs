//! Safetensors and npy files: whole ones round-trip, wrong ones are named, hostile ones are harmless.

mod support;

use einmesh_exec::tensors::{
    ElementType, SafeTensors, Tensor, convert, npy, parse_header, write_safetensors,
};
use std::path::PathBuf;
use support::{Random, f32s};

/// A file of its own in the temporary directory, removed at the end.
struct Temporary(PathBuf);

impl Temporary {
    fn new(name: &str) -> Temporary {
        let name = format!("einmesh-files-{}-{name}", std::process::id());
        Temporary(std::env::temp_dir().join(name))
    }

    fn with(name: &str, bytes: &[u8]) -> Temporary {
        let file = Temporary::new(name);
        std::fs::write(&file.0, bytes).unwrap();
        file
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// A file with this header and this many bytes of data.
fn file(header: &str, data: usize) -> Vec<u8> {
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    bytes.extend((0..data).map(|i| i as u8));
    bytes
}

fn some_tensors() -> Vec<(String, Tensor)> {
    let tensor = |dtype: ElementType, shape: &[u64]| {
        let bytes = shape.iter().product::<u64>() * dtype.bytes();
        Tensor { dtype, shape: shape.to_vec(), bytes: (0..bytes).map(|i| (i % 2) as u8).collect() }
    };
    let all = ElementType::ALL.iter().enumerate();
    let mut tensors: Vec<(String, Tensor)> =
        all.map(|(i, t)| (format!("t.{t}"), tensor(*t, &[i as u64, 3]))).collect();
    tensors.push(("scalar \"é\"".to_owned(), tensor(ElementType::F64, &[])));
    tensors
}

#[test]
fn safetensors_round_trip_and_agree_with_the_formats_library() {
    let target = Temporary::new("round.safetensors");
    let tensors = some_tensors();
    write_safetensors(&target.0, &tensors).unwrap();
    let bytes = std::fs::read(&target.0).unwrap();
    let ours = SafeTensors::open(&target.0).unwrap();
    let theirs = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    assert_eq!(ours.len(), tensors.len());
    assert_eq!(theirs.len(), tensors.len());
    for (name, tensor) in &tensors {
        let view = ours.get(name).unwrap();
        assert_eq!(
            (view.dtype, view.shape, view.bytes),
            (tensor.dtype, &tensor.shape[..], &tensor.bytes[..])
        );
        assert_eq!(theirs.tensor(name).unwrap().data(), tensor.bytes);
    }
    let mut reversed = tensors.clone();
    reversed.reverse();
    write_safetensors(&target.0, &reversed).unwrap();
    assert_eq!(std::fs::read(&target.0).unwrap(), bytes, "the order given does not matter");
}

#[test]
fn wrong_headers_are_named() {
    let one = r#""a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}"#;
    assert!(parse_header(&file(&format!("{{{one}}}"), 8)).is_ok());
    assert!(
        parse_header(&file(&format!("{{\"__metadata__\":{{\"format\":\"pt\"}},{one}}}  "), 8))
            .is_ok()
    );
    let cases: [(String, usize, &str); 21] = [
        (format!("{{{one},{one}}}"), 8, "a name occurs twice"),
        (
            format!("{{\"__metadata__\":{{}},\"__metadata__\":{{}},{one}}}"),
            8,
            "a name occurs twice",
        ),
        (format!("{{{one}}}"), 7, "offsets 0..8, but the data has 7 bytes"),
        (format!("{{{one}}}"), 9, "its last 1 bytes belong to no tensor"),
        (format!("{{{}}}", one.replace("[0,8]", "[8,0]")), 8, "offsets 8..0"),
        (format!("{{{}}}", one.replace("[0,8]", "[0,4]")), 4, "has 4 bytes, which are not f32[2]"),
        (
            format!("{{{}}}", one.replace("[0,8]", "[0,18446744073709551615]")),
            8,
            "offsets 0..18446744073709551615",
        ),
        (
            format!("{{{}}}", one.replace("[2]", "[4294967296,4294967296,2]")),
            8,
            "which are not f32",
        ),
        (format!("{{{}}}", one.replace("[2]", "[-2]")), 8, "its header is wrong"),
        (format!("{{{}}}", one.replace("[2]", "[2e400]")), 8, "its header is wrong"),
        (
            format!("{{{}}}", one.replace("[2]", &format!("[{}1]", "1,".repeat(16)))),
            8,
            "more than 16 extents",
        ),
        (format!("{{{}}}", one.replace("F32", "F33")), 8, "unknown type F33"),
        (format!("{{{}}}", one.replace("\"a\"", "\"../a\"")), 8, "the name `../a` is not allowed"),
        (format!("{{{}}}", one.replace("\"a\"", "\"/etc/passwd\"")), 8, "is not allowed"),
        (
            format!("{{{}}}", one.replace("\"a\"", "\"x\\u001b[2J\"")),
            8,
            "the name `x\\u{1b}[2J` is not allowed",
        ),
        (format!("{{{}}}", one.replace("\"a\"", "\"\"")), 8, "is not allowed"),
        (format!("{{{}}}", one.replace("\"dtype\"", "\"kind\"")), 8, "unknown field `kind`"),
        (
            format!("{{{one},{}}}", one.replace("\"a\"", "\"b\"")),
            8,
            "`b` overlaps the tensor before it",
        ),
        (
            format!("{{{one},{}}}", one.replace("\"a\"", "\"b\"").replace("[0,8]", "[9,17]")),
            17,
            "`b` follows a gap",
        ),
        ("[".repeat(100_000), 0, "its header is wrong"),
        (format!("{{\"__metadata__\":{}", "[".repeat(100_000)), 0, "its header is wrong"),
    ];
    for (header, data, expected) in cases {
        let message = parse_header(&file(&header, data)).unwrap_err();
        assert!(message.contains(expected), "expected: {expected}\nfound: {message}");
    }
    let mut bytes = file("{}", 0);
    bytes[0] = 3;
    assert!(parse_header(&bytes).unwrap_err().contains("it is cut short"));
    bytes[7] = 0x80;
    assert!(
        parse_header(&bytes).unwrap_err().contains("its header claims 9223372036854775811 bytes")
    );
    assert!(parse_header(b"").unwrap_err().contains("too short"));
    let empty = Temporary::with("empty.safetensors", b"");
    assert!(SafeTensors::open(&empty.0).is_err());
    assert!(SafeTensors::open(&std::env::temp_dir()).is_err());
}

#[test]
fn mutated_safetensors_never_panic() {
    let target = Temporary::new("fuzz.safetensors");
    write_safetensors(&target.0, &some_tensors()).unwrap();
    let original = std::fs::read(&target.0).unwrap();
    let header = 8 + u64::from_le_bytes(*original.first_chunk().unwrap()) as usize;
    let mut random = Random(3);
    let (mut accepted, mut refused) = (0, 0);
    for _ in 0..20_000 {
        let mut bytes = original.clone();
        for _ in 0..1 + random.below(3) {
            let at = random.below(header as u64) as usize;
            match random.below(4) {
                0 => bytes[at] = random.next() as u8,
                1 => bytes[at] ^= 1 << random.below(8),
                2 => {
                    let digits: Vec<usize> =
                        (at..header).filter(|i| bytes[*i].is_ascii_digit()).take(20).collect();
                    if let Some(digit) = digits.get(random.below(20) as usize) {
                        bytes[*digit] = b'0' + random.below(10) as u8;
                    }
                }
                _ => {
                    let from = random.below((header - 60) as u64) as usize;
                    let piece = bytes[from..from + random.below(60) as usize].to_vec();
                    let to = random.below((header - 60) as u64) as usize;
                    bytes[to..to + piece.len()].copy_from_slice(&piece);
                }
            }
        }
        match parse_header(&bytes) {
            Ok(entries) => {
                accepted += 1;
                for entry in entries.values() {
                    assert!(entry.range.start <= entry.range.end && entry.range.end <= bytes.len());
                    let elements: u64 = entry.shape.iter().product();
                    assert_eq!(elements * entry.dtype.bytes(), entry.range.len() as u64);
                }
            }
            Err(message) => {
                refused += 1;
                assert!(!message.is_empty());
            }
        }
    }
    assert!(accepted > 500 && refused > 5_000, "{accepted} accepted, {refused} refused");
}

#[test]
fn npy_round_trips() {
    let target = Temporary::new("round.npy");
    for (name, tensor) in some_tensors() {
        npy::write(&target.0, &tensor).unwrap();
        let read = npy::read(&target.0).unwrap();
        if tensor.dtype == ElementType::Bf16 {
            assert_eq!((read.dtype, &read.shape), (ElementType::F32, &tensor.shape));
        } else {
            assert_eq!(read, tensor, "{name}");
        }
    }
    npy::write(&target.0, &f32s(&[1.0, 2.0], &[2, 1])).unwrap();
    let bytes = std::fs::read(&target.0).unwrap();
    // What numpy.save writes for numpy.array([[1], [2]], dtype="f4").
    let mut expected =
        b"\x93NUMPY\x01\x00\x76\x00{'descr': '<f4', 'fortran_order': False, 'shape': (2, 1,), }"
            .to_vec();
    expected.resize(127, b' ');
    expected.push(b'\n');
    expected.extend([0, 0, 0x80, 0x3F, 0, 0, 0, 0x40]);
    assert_eq!(bytes, expected);
}

fn npy_file(version: u8, header: &str, data: usize) -> Vec<u8> {
    let mut bytes = b"\x93NUMPY".to_vec();
    bytes.extend([version, 0]);
    match version {
        1 => bytes.extend((header.len() as u16).to_le_bytes()),
        _ => bytes.extend((header.len() as u32).to_le_bytes()),
    }
    bytes.extend(header.as_bytes());
    bytes.resize(bytes.len() + data, 0);
    bytes
}

#[test]
fn npy_headers_are_checked() {
    let read = |bytes: &[u8]| npy::read_from(bytes, bytes.len() as u64);
    let good = "{'descr': '<i8', 'fortran_order': False, 'shape': (2,), }  \n";
    for version in [1, 2, 3] {
        let tensor = read(&npy_file(version, good, 16)).unwrap();
        assert_eq!((tensor.dtype, &tensor.shape[..]), (ElementType::I64, &[2][..]));
    }
    let scalar =
        read(&npy_file(1, "{\"shape\": (), 'fortran_order':False,'descr':'|b1'}", 1)).unwrap();
    assert_eq!((scalar.dtype, scalar.shape.len()), (ElementType::Bool, 0));
    let cases = [
        (good.replace("False", "True"), 16, "numpy.ascontiguousarray"),
        (good.replace("<i8", ">i8"), 16, "its elements have the type `>i8`"),
        (good.replace("'<i8'", "[('a', '<i8')]"), 16, "its elements are records"),
        (good.replace("(2,)", "(3,)"), 16, "16 bytes of data, which are not i64[3]"),
        (good.replace("(2,)", "(-2,)"), 16, "cannot be read"),
        (good.replace("(2,)", "(18446744073709551615, 9)"), 16, "which are not"),
        (good.replace("(2,)", &format!("({})", "1,".repeat(40))), 16, "cannot be read"),
        (good.replace("'shape'", "'form'"), 16, "cannot be read"),
        ("{'descr': '<i8'}".to_owned(), 16, "cannot be read"),
        ("{'descr".to_owned(), 16, "cannot be read"),
        (String::new(), 16, "cannot be read"),
    ];
    for (header, data, expected) in cases {
        let message = read(&npy_file(1, &header, data)).unwrap_err();
        assert!(message.contains(expected), "expected: {expected}\nfound: {message}");
    }
    assert!(read(&npy_file(9, good, 16)).unwrap_err().contains("version 9"));
    assert!(read(b"PK\x03\x04 a zip file").unwrap_err().contains("not a .npy file"));
    let original = npy_file(1, good, 16);
    let mut random = Random(5);
    for _ in 0..20_000 {
        let mut bytes = original.clone();
        for _ in 0..1 + random.below(3) {
            let at = random.below(bytes.len() as u64) as usize;
            bytes[at] = random.next() as u8;
        }
        if let Ok(tensor) = read(&bytes) {
            assert_eq!(tensor.bytes.len(), 16);
        }
    }
}

#[test]
fn conversions_round_once_and_refuse_what_does_not_fit() {
    let change = |from, to, bytes: &[u8]| {
        let from: ElementType = from;
        let to: ElementType = to;
        let mut target = vec![0; bytes.len() / from.bytes() as usize * to.bytes() as usize];
        convert(from, to, bytes, &mut target).map(|()| target)
    };
    use ElementType::{Bf16, Bool, F16, F32, F64, I32, I64, U8};
    // Halfway between two bf16 numbers: to the even one, down and up.
    for (bits, expected) in
        [(0x3F80_8000u32, 0x3F80u16), (0x3F81_8000, 0x3F82), (0x3F80_8001, 0x3F81)]
    {
        assert_eq!(change(F32, Bf16, &bits.to_le_bytes()).unwrap(), expected.to_le_bytes());
    }
    // One ulp of f64 above halfway: rounding by way of f32 would lose it.
    let twice = change(F64, Bf16, &(1.0 + 2f64.powi(-8) + 2f64.powi(-50)).to_le_bytes()).unwrap();
    assert_eq!(twice, 0x3F81u16.to_le_bytes());
    let least = change(F64, F16, &(2f64.powi(-25) + 2f64.powi(-70)).to_le_bytes()).unwrap();
    assert_eq!(least, 1u16.to_le_bytes());
    assert_eq!(change(F64, Bf16, &1e300f64.to_le_bytes()).unwrap(), 0x7F80u16.to_le_bytes());
    assert_eq!(
        change(F16, F32, &0x3C01u16.to_le_bytes()).unwrap(),
        (1.0f32 + 1.0 / 1024.0).to_le_bytes()
    );
    assert_eq!(change(F32, F16, &1e6f32.to_le_bytes()).unwrap(), 0x7C00u16.to_le_bytes());
    assert_eq!(change(F32, F64, &0.1f32.to_le_bytes()).unwrap(), f64::from(0.1f32).to_le_bytes());
    assert_eq!(change(I64, I32, &(-7i64).to_le_bytes()).unwrap(), (-7i32).to_le_bytes());
    let message = change(I64, I32, &(1i64 << 31).to_le_bytes()).unwrap_err();
    assert_eq!(message, "the element 2147483648 does not fit into i32");
    assert_eq!(change(U8, Bool, &[0, 1]).unwrap(), [0, 1]);
    assert!(change(U8, Bool, &[2]).is_err());
    assert!(change(Bool, Bool, &[2]).is_err());
    assert!(change(F32, I32, &[0; 4]).is_err());
    assert!(change(I32, F32, &[0; 4]).is_err());
}

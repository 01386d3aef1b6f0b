//! Just enough of the npy format for two-dimensional arrays of little-endian f64 in C order.

use super::read_bytes;

/// Shape and values of an npy file in `tests/data`.
pub fn read(name: &str) -> ([usize; 2], Vec<f64>) {
    let bytes = read_bytes(name);
    assert_eq!(&bytes[..8], b"\x93NUMPY\x01\x00", "{name}: npy version 1");
    let end = 10 + usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    let header = std::str::from_utf8(&bytes[10..end]).unwrap();
    assert!(header.contains("'descr': '<f8'"), "{name}: {header}");
    assert!(
        header.contains("'fortran_order': False"),
        "{name}: {header}"
    );
    let (_, shape) = header.split_once('(').unwrap();
    let (shape, _) = shape.split_once(')').unwrap();
    let shape: Vec<usize> = shape
        .split(',')
        .map(|n| n.trim().parse().unwrap())
        .collect();
    let values: Vec<f64> = bytes[end..]
        .chunks_exact(8)
        .map(|b| f64::from_le_bytes(b.try_into().unwrap()))
        .collect();
    assert_eq!(
        values.len(),
        shape[0] * shape[1],
        "{name}: number of values"
    );
    ([shape[0], shape[1]], values)
}

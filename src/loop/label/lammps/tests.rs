use super::*;
use nepal::system::Cell;

#[test]
fn the_turned_cell_has_lammps_shape_and_the_same_lengths() {
    let vectors = [[0.2, 5.4, 0.0], [5.5, 0.1, 0.3], [0.4, 0.0, 5.3]];
    let cell = Cell::new(vectors, [true; 3]).unwrap();
    let element = Element::from_symbol("Si").unwrap();
    let structure = Structure::new(cell, vec![element], vec![[0.0; 3]]).unwrap();
    let (cell, turn) = restricted(&structure);
    assert_eq!([cell[0][1], cell[0][2], cell[1][2]], [0.0; 3]);
    assert!(cell[0][0] > 0.0 && cell[1][1] > 0.0 && cell[2][2] > 0.0);
    for (new, old) in cell.iter().zip(structure.cell.vectors()) {
        assert!((norm(*new) - norm(*old)).abs() < 1e-12);
        let again = back(*new, &turn);
        assert!((0..3).all(|d| (again[d] - old[d]).abs() < 1e-12));
    }
}

// What every kernel gets: sizes and addresses, all eight bytes wide, in the order of
// `Args` in src/cuda/args.rs. Lengths in Å, energies in eV.

// A place where a neighbour can be: an atom, one of its images, or a ghost of a host code.
struct alignas(16) Place {
    real x[3];
#if !NEPAL_DOUBLE
    // What the floats leave: differences of places are as exact as those of doubles.
    float low[3];
#endif
    u32 type;
    // Local atom that this place is a copy of; NONE for a ghost.
    u32 source;
};

struct Args {
    u64 n_local;   // atoms that carry energy
    u64 n_places;  // all places, locals first
    u64 n_total;   // atoms of the caller, ghosts included
    u64 n_types;   // types present
    u64 first;     // this launch: first atom, number of atoms
    u64 count;
    u64 stride;    // length of a column of scratch, at least count
    u64 flags;
    u64 from_bins; // lists: candidates come from bins (1), from a list of ours (0), or the host's on the device (2)
    u64 rows;      // sums: rows and columns of the input, rows of the output
    u64 columns;
    u64 out_rows;
    double cell[9];  // rows are the lattice vectors
    double inverse[9]; // fractional = r * inverse, row vectors
    double reach;      // lists: largest cutoff, skin included
    double skin;
    double origin[3]; // bins: lowest fractional coordinate, bins per unit, number, images
    double per_unit[3];
    u64 bins[3];
    u64 image_range[3];
    double margin[3]; // images: how far beyond the cell, in fractional coordinates

    // Model. The layouts are those of src/cuda/tables.rs.
    const real *radial;   // c_nk [types][types][NR][KR]
    const real *angular;  // c_nk [types][types][NAP][KA]
    const real *w0;       // [types][N1P][DIMP]
    const real *w0t;      // [types][DIM][N1P]
    const real *b0;       // [types][N1P]
    const real *w1;       // [types][N1P], with two layers [types][N2][N1P]
    const real *b1;       // [types][N2]
    const real *w2;       // [types][N2]
    const double *bias;   // [types]
    const real *scaler;   // [DIM]
    const real *cutoffs;  // [types][types][4]: radial, angular, and one over each
    const real *zbl;      // [types][types][12]

    // Atoms and places.
    const double *positions; // [n_total][3]
    const u32 *types;        // [n_total]
    const u32 *atom;         // atom of the caller at each place [n_places]
    const u32 *source;       // local atom that a place is a copy of [n_places]
    const int *shift;        // translation of each place [n_places][3]
    Place *places;           // [n_places]

    // Neighbour lists in slices: entry k of atom i is at start[i / 32] + 32 k + i % 32.
    u64 *start_r, *start_a;  // [slices + 1]
    u32 *count_r, *count_a;  // [n_local]
    u32 *list_r, *list_a;    // places
    u32 *reverse;            // slot of the opposite entry of each angular entry
    const u64 *offsets;      // the caller's list [n_local + 1]
    const u32 *index;        // places of the caller's list
    u64 *ghost_start;        // [ghosts + 1]
    u32 *ghost_cursor;       // [ghosts]
    u32 *ghost_list;         // centres that see each ghost

    // Scratch of a batch: columns of `stride` atoms.
    real *sums;      // angular sums [NAP * NLM][stride]
    real *q;         // scaled descriptors [DIM][stride]
    real *neurons;   // [N1P][stride]
    real *slope;     // dU/d(first layer), two layers only [N1P][stride]
    real *fp;        // dU/d(descriptor) [DIM][stride]

    // Kept between kernels.
    real *radial_slope; // dU/d(sum of f_k) [n_local][types][KRP], read as real4
    real4 *partial;     // f_ij by slot of the angular list

    // Results, in the caller's order.
    const double *gradient;   // contraction: dPhi/dq [n_local][DIM]
    double *out_energy;       // [n_local]; of polarizabilities the scalar part
    double *out_forces;       // [n_total][3]
    double *out_virials;      // [n_total][9]
    double *out_descriptors;  // [n_local][DIM]
    double *out_neurons;      // [n_local][N1]
    double *out_projections;  // [n_local][N1 * (DIM + 2)]
    real *out_q;              // descriptors for the grades [n_local][DIM]

    // Sums, scans, bins.
    const double *input;
    double *out;
    u64 *scan;        // numbers to scan
    u64 *scan_part;
    u32 *bin_count;
    u64 *bin_start;
    u32 *bin_places;
    u32 *place_bin;   // bin of each place
    u32 *atom_out;    // arrays of the places, while they are made
    u32 *source_out;
    int *shift_out;
    const double *reference; // positions when the list was made
    u32 *moved;              // bits of the largest squared distance from there
    u32 *scratch_u32;
    u64 row_stride, column_stride; // of the caller's array
    u64 adding;
    double deformation[9]; // of the cell since the list was made, r goes to r F
    u64 order;             // place of number c in the caller's rows: digit c, from the lowest, in base 16
    // Lists that are made before the host knows how large they are: the number of images on the device, of which
    // n_places has no more than there is room for; room for slots of both lists.
    const u64 *n_images;
    u64 room_r, room_a;
    // What the host hears later: images, slots of both lists; the largest fractional coordinates and the largest
    // of their negatives, as floats in the order of their bits.
    struct Sizes {
        u64 images, slots_r, slots_a;
        u32 high[3], low[3];
    } *sizes;
    // The list of a host code: neighbour k of atom i is the bits host_mask of number host_row i + host_entry k.
    const u32 *host_counts, *host_list;
    u64 host_row, host_entry, host_mask;
    double temperature; // K, of models that have it as their last descriptor
    // Charges and dispersion: see far.cu, in the caller's order.
    double *strengths;       // charges, e, and roots of C6 [heads][n_total]
    double *acting;          // dE/d(head) [heads][n_total]
    double *far;             // forces, and virials xx yy zz xy xz yz [n_local][9]
    double *fraction;        // fractional coordinates, cosine and sine of 2 pi the third one [n_local][TURN]
    const double *waves;     // multiples, wave vector in 1/Å, weights G and H [n_waves][8], in runs of RUN
    double *factors;         // S(k) [n_waves][2]
    double *factor_parts;    // [parts][n_waves][2]
    double *field_parts;     // [parts][FIELD][n_local]
    const double *free_root; // root of C6 of a free atom [types]
    u64 n_waves, parts;
    double share, mean, own, chain;
    double dielectric;       // of Born charges
    double screen[6];        // of far.cuh or d3.cu
    // Sums on a mesh: see mesh.cu.
    u64 mesh[3];             // points along each vector of the cell
    u64 bell, powers;        // width of the bell, powers of its polynomials
    const double *bell_rows; // their coefficients, highest power first [powers][16]
    const double *mesh_factors; // of the waves along the first direction, the second, the third
    u64 *mesh_whole;         // strengths at the points
    const double *mesh_from; // complex numbers at the points [rows][2]
    double *mesh_to;
    u64 along, radix, done, inner; // a step of a transform: direction, factor, those before, points from one to the next
    u64 component;           // 0 for the potential, 1 to 6 for the virial's xx yy zz xy xz yz
    double turn;             // -1 forward, 1 back
    double screening, wave_unit; // of the waves' weights
    // DFT-D3: see d3.cu.
    const double *d3_pairs;   // where a neighbour counts half, factor of r^-8, edge of the damping [types][types][3]
    const double *d3_c6;      // [types][types][MOST][MOST]
    const double *d3_systems; // coordination numbers, and how many there are [types][MOST + 1]
    double *d3_weights;       // of the systems, and their derivatives [n_local][2][MOST]
};

#define WANT_VIRIAL 1
#define WANT_DESCRIPTORS 2
#define WANT_NEURONS 4
#define WANT_PROJECTIONS 8
#define CONTRACT 16
#define ENERGY_ONLY 32
#define WANT_GRADES 64
#define BORN 128

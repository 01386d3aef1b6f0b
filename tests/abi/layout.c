/* Sizes and offsets that the ABI promises, for 64-bit Unix. A struct grows at its end only: a new
 * field adds lines here and changes no others but the size. */
#include "nepal.h"

#define SIZE(type, bytes) _Static_assert(sizeof(type) == (bytes), #type)
#define FIELD(type, field, at) _Static_assert(offsetof(type, field) == (at), #type "." #field)

SIZE(nepal_status_t, 4);

SIZE(nepal_calculator_options_t, 24);
FIELD(nepal_calculator_options_t, struct_size, 0);
FIELD(nepal_calculator_options_t, backend, 8);
FIELD(nepal_calculator_options_t, threads, 12);
FIELD(nepal_calculator_options_t, device, 16);
FIELD(nepal_calculator_options_t, precision, 20);

SIZE(nepal_active_set_options_t, 40);
FIELD(nepal_active_set_options_t, struct_size, 0);
FIELD(nepal_active_set_options_t, kind, 8);
FIELD(nepal_active_set_options_t, backend, 12);
FIELD(nepal_active_set_options_t, tolerance, 16);
FIELD(nepal_active_set_options_t, resolution, 24);
FIELD(nepal_active_set_options_t, seed, 32);

SIZE(nepal_structure_t, 80);
FIELD(nepal_structure_t, struct_size, 0);
FIELD(nepal_structure_t, n_atoms, 8);
FIELD(nepal_structure_t, positions, 16);
FIELD(nepal_structure_t, types, 24);
FIELD(nepal_structure_t, atomic_numbers, 32);
FIELD(nepal_structure_t, cell, 40);
FIELD(nepal_structure_t, periodic, 48);
FIELD(nepal_structure_t, reserved, 60);
FIELD(nepal_structure_t, tags, 64);
FIELD(nepal_structure_t, step, 72);

SIZE(nepal_host_list_t, 112);
FIELD(nepal_host_list_t, struct_size, 0);
FIELD(nepal_host_list_t, n_local, 8);
FIELD(nepal_host_list_t, n_total, 16);
FIELD(nepal_host_list_t, positions, 24);
FIELD(nepal_host_list_t, types, 32);
FIELD(nepal_host_list_t, counts, 40);
FIELD(nepal_host_list_t, neighbors, 48);
FIELD(nepal_host_list_t, rows, 56);
FIELD(nepal_host_list_t, mask, 64);
FIELD(nepal_host_list_t, reserved, 68);
FIELD(nepal_host_list_t, tags, 72);
FIELD(nepal_host_list_t, step, 80);
FIELD(nepal_host_list_t, known, 88);
FIELD(nepal_host_list_t, generation, 96);
FIELD(nepal_host_list_t, cell, 104);

SIZE(nepal_ranks_t, 56);
FIELD(nepal_ranks_t, struct_size, 0);
FIELD(nepal_ranks_t, rank, 8);
FIELD(nepal_ranks_t, n_ranks, 12);
FIELD(nepal_ranks_t, gather, 16);
FIELD(nepal_ranks_t, broadcast, 24);
FIELD(nepal_ranks_t, user_data, 32);
FIELD(nepal_ranks_t, sum, 40);
FIELD(nepal_ranks_t, forward, 48);

SIZE(nepal_fragment_options_t, 56);
FIELD(nepal_fragment_options_t, struct_size, 0);
FIELD(nepal_fragment_options_t, save, 8);
FIELD(nepal_fragment_options_t, flags, 16);
FIELD(nepal_fragment_options_t, max_fragments, 20);
FIELD(nepal_fragment_options_t, core_radius, 24);
FIELD(nepal_fragment_options_t, max_size, 32);
FIELD(nepal_fragment_options_t, max_atoms, 40);
FIELD(nepal_fragment_options_t, seed, 48);

SIZE(nepal_fragment_t, 208);
FIELD(nepal_fragment_t, struct_size, 0);
FIELD(nepal_fragment_t, n_atoms, 8);
FIELD(nepal_fragment_t, positions, 16);
FIELD(nepal_fragment_t, types, 24);
FIELD(nepal_fragment_t, tags, 32);
FIELD(nepal_fragment_t, core, 40);
FIELD(nepal_fragment_t, mask, 48);
FIELD(nepal_fragment_t, cell, 56);
FIELD(nepal_fragment_t, periodic, 128);
FIELD(nepal_fragment_t, whole, 140);
FIELD(nepal_fragment_t, target, 144);
FIELD(nepal_fragment_t, target_tag, 152);
FIELD(nepal_fragment_t, grade, 160);
FIELD(nepal_fragment_t, gamma, 168);
FIELD(nepal_fragment_t, rho, 176);
FIELD(nepal_fragment_t, step, 184);
FIELD(nepal_fragment_t, grades, 192);
FIELD(nepal_fragment_t, summary, 200);

SIZE(nepal_results_t, 192);
FIELD(nepal_results_t, struct_size, 0);
FIELD(nepal_results_t, flags, 8);
FIELD(nepal_results_t, reserved, 12);
FIELD(nepal_results_t, energy, 16);
FIELD(nepal_results_t, energies, 24);
FIELD(nepal_results_t, forces, 32);
FIELD(nepal_results_t, virial, 40);
FIELD(nepal_results_t, virials, 48);
FIELD(nepal_results_t, descriptors, 56);
FIELD(nepal_results_t, projections, 64);
FIELD(nepal_results_t, gamma, 72);
FIELD(nepal_results_t, rho, 80);
FIELD(nepal_results_t, grade, 88);
FIELD(nepal_results_t, charges, 96);
FIELD(nepal_results_t, born_charges, 104);
FIELD(nepal_results_t, dipole, 112);
FIELD(nepal_results_t, dipoles, 120);
FIELD(nepal_results_t, polarizability, 128);
FIELD(nepal_results_t, polarizabilities, 136);
FIELD(nepal_results_t, temperature, 144);
FIELD(nepal_results_t, charge, 152);
FIELD(nepal_results_t, mesh_error, 160);
FIELD(nepal_results_t, sigma, 168);
FIELD(nepal_results_t, sigma_energies, 176);
FIELD(nepal_results_t, sigma_energy, 184);

SIZE(nepal_device_atoms_t, 144);
FIELD(nepal_device_atoms_t, struct_size, 0);
FIELD(nepal_device_atoms_t, n_atoms, 8);
FIELD(nepal_device_atoms_t, positions, 16);
FIELD(nepal_device_atoms_t, position_strides, 24);
FIELD(nepal_device_atoms_t, types, 40);
FIELD(nepal_device_atoms_t, cell, 48);
FIELD(nepal_device_atoms_t, periodic, 56);
FIELD(nepal_device_atoms_t, flags, 68);
FIELD(nepal_device_atoms_t, stream, 72);
FIELD(nepal_device_atoms_t, n_ghosts, 80);
FIELD(nepal_device_atoms_t, neighbor_counts, 88);
FIELD(nepal_device_atoms_t, neighbors, 96);
FIELD(nepal_device_atoms_t, neighbor_strides, 104);
FIELD(nepal_device_atoms_t, generation, 120);
FIELD(nepal_device_atoms_t, neighbor_mask, 128);
FIELD(nepal_device_atoms_t, n_type_map, 132);
FIELD(nepal_device_atoms_t, type_map, 136);

SIZE(nepal_device_results_t, 184);
FIELD(nepal_device_results_t, struct_size, 0);
FIELD(nepal_device_results_t, flags, 8);
FIELD(nepal_device_results_t, reserved, 12);
FIELD(nepal_device_results_t, energies, 16);
FIELD(nepal_device_results_t, forces, 24);
FIELD(nepal_device_results_t, force_strides, 32);
FIELD(nepal_device_results_t, virials, 48);
FIELD(nepal_device_results_t, virial_strides, 56);
FIELD(nepal_device_results_t, gamma, 72);
FIELD(nepal_device_results_t, rho, 80);
FIELD(nepal_device_results_t, grade, 88);
FIELD(nepal_device_results_t, largest_grade, 96);
FIELD(nepal_device_results_t, total_energy, 104);
FIELD(nepal_device_results_t, total_virial, 112);
FIELD(nepal_device_results_t, charges, 120);
FIELD(nepal_device_results_t, born_charges, 128);
FIELD(nepal_device_results_t, dipole, 136);
FIELD(nepal_device_results_t, dipoles, 144);
FIELD(nepal_device_results_t, polarizability, 152);
FIELD(nepal_device_results_t, polarizabilities, 160);
FIELD(nepal_device_results_t, temperature, 168);
FIELD(nepal_device_results_t, charge, 176);

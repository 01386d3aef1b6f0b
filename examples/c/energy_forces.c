/* Energy, forces and the largest grade of eight silicon atoms. With nepal installed:
 *
 *   cc -std=c11 examples/c/energy_forces.c $(pkg-config --cflags --libs nepal) -o energy_forces
 *   ./energy_forces examples/data
 */
#include <nepal.h>
#include <stdio.h>
#include <stdlib.h>

/* Ends the program with the text of the error unless a call succeeded. */
static void check(nepal_status_t status) {
  char text[1000];
  size_t needed;
  if (status == NEPAL_STATUS_SUCCESS) return;
  nepal_last_error(text, sizeof text, &needed);
  fprintf(stderr, "%s\n", text);
  exit(1);
}

int main(int argc, char **argv) {
  /* Diamond, a little distorted, one atom far off its place. Angstrom. */
  const double cell[9] = {5.431, 0, 0, 0, 5.431, 0, 0, 0, 5.431};
  const double positions[8][3] = {
      {0.0426, -0.0087, 0.0581}, {0.0255, 2.6691, 2.7225}, {2.8093, -0.0224, 2.6925},
      {2.7301, 2.7817, -0.0612}, {1.9529, 1.7849, 1.0139}, {1.4183, 3.9930, 4.0595},
      {4.1556, 1.4575, 4.0331},  {4.0636, 4.0584, 1.3466}};
  const char *data = argc > 1 ? argv[1] : "examples/data";
  char path[1000];
  if (nepal_abi_version() != NEPAL_ABI_VERSION) {
    fprintf(stderr, "this library has another ABI than the header\n");
    return 1;
  }

  nepal_model_t *model;
  nepal_active_set_t *active_set;
  nepal_calculator_t *calculator;
  snprintf(path, sizeof path, "%s/nep.txt", data);
  check(nepal_model_load(path, &model));
  snprintf(path, sizeof path, "%s/active_set.nas", data);
  check(nepal_active_set_load(path, model, &active_set));
  check(nepal_calculator_new(model, NULL, &calculator));
  check(nepal_calculator_set_active_set(calculator, active_set));

  int32_t silicon, types[8];
  check(nepal_model_type(model, "Si", &silicon));
  for (int i = 0; i < 8; i++) types[i] = silicon;
  nepal_structure_t structure = NEPAL_STRUCTURE_INIT;
  structure.n_atoms = 8;
  structure.positions = positions[0];
  structure.types = types;
  structure.cell = cell;
  for (int d = 0; d < 3; d++) structure.periodic[d] = 1;

  double energy, forces[8][3], grade[8];
  nepal_results_t results = NEPAL_RESULTS_INIT;
  results.energy = &energy;
  results.forces = forces[0];
  results.grade = grade;
  check(nepal_calculator_compute(calculator, &structure, &results));

  int largest = 0;
  printf("energy: %.6f eV\n", energy);
  for (int i = 0; i < 8; i++) {
    printf("force on atom %d: %.6f %.6f %.6f eV/A\n", i, forces[i][0], forces[i][1], forces[i][2]);
    if (grade[i] > grade[largest]) largest = i;
  }
  printf("largest grade: %.6f, atom %d\n", grade[largest], largest);

  nepal_calculator_free(calculator);
  nepal_active_set_free(active_set);
  nepal_model_free(model);
  return 0;
}

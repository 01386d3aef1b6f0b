/* A small molecular dynamics program: 64 silicon atoms for 100 fs, with the largest grade watched.
 * The same in C++ and Fortran prints the same numbers. With nepal installed:
 *
 *   cc -std=c11 examples/c/md.c $(pkg-config --cflags --libs nepal) -lm -o md
 *   ./md examples/data
 */
#include <math.h>
#include <nepal.h>
#include <stdio.h>
#include <stdlib.h>

enum { CELLS = 2, ATOMS = 8 * CELLS * CELLS * CELLS, STEPS = 100, EVERY = 20 };

static const double LATTICE = 5.431;          /* A */
static const double MASS = 28.085;            /* atomic mass units */
static const double STEP = 0.001;             /* ps */
static const double TO_EV = 1.0364269656e-4;  /* one atomic mass unit (A/ps)^2 in eV */
static const double BOLTZMANN = 8.617333e-5;  /* eV/K */

/* Ends the program with the text of the error unless a call succeeded. */
static void check(nepal_status_t status) {
  char text[1000];
  size_t needed;
  if (status == NEPAL_STATUS_SUCCESS) return;
  nepal_last_error(text, sizeof text, &needed);
  fprintf(stderr, "%s\n", text);
  exit(1);
}

/* Diamond, and velocities that add up to nothing. */
static void start(double x[][3], double v[][3]) {
  const double basis[8][3] = {{0, 0, 0},          {0, 0.5, 0.5},       {0.5, 0, 0.5},
                              {0.5, 0.5, 0},      {0.25, 0.25, 0.25},  {0.25, 0.75, 0.75},
                              {0.75, 0.25, 0.75}, {0.75, 0.75, 0.25}};
  double mean[3] = {0, 0, 0};
  for (int i = 0; i < ATOMS; i++) {
    const int cell = i / 8;
    const int shift[3] = {cell / (CELLS * CELLS), cell / CELLS % CELLS, cell % CELLS};
    for (int d = 0; d < 3; d++) {
      x[i][d] = LATTICE * (shift[d] + basis[i % 8][d]);
      v[i][d] = 9.0 * sin(1.7 * (3 * i + d) + 0.3 * d);
      mean[d] += v[i][d] / ATOMS;
    }
  }
  for (int i = 0; i < ATOMS; i++) {
    for (int d = 0; d < 3; d++) v[i][d] -= mean[d];
  }
}

int main(int argc, char **argv) {
  static double x[ATOMS][3], v[ATOMS][3], f[ATOMS][3], grade[ATOMS];
  static int32_t types[ATOMS];
  const double edge = CELLS * LATTICE;
  const double cell[9] = {edge, 0, 0, 0, edge, 0, 0, 0, edge};
  const char *data = argc > 1 ? argv[1] : "examples/data";
  char path[1000];
  double potential;

  nepal_model_t *model;
  nepal_active_set_t *active_set;
  nepal_calculator_t *calculator;
  snprintf(path, sizeof path, "%s/nep.txt", data);
  check(nepal_model_load(path, &model));
  snprintf(path, sizeof path, "%s/active_set.nas", data);
  check(nepal_active_set_load(path, model, &active_set));
  check(nepal_calculator_new(model, NULL, &calculator));
  check(nepal_calculator_set_active_set(calculator, active_set));

  start(x, v);
  check(nepal_model_type(model, "Si", &types[0]));
  for (int i = 1; i < ATOMS; i++) types[i] = types[0];
  nepal_structure_t structure = NEPAL_STRUCTURE_INIT;
  structure.n_atoms = ATOMS;
  structure.positions = x[0];
  structure.types = types;
  structure.cell = cell;
  for (int d = 0; d < 3; d++) structure.periodic[d] = 1;
  nepal_results_t results = NEPAL_RESULTS_INIT;
  results.energy = &potential;
  results.forces = f[0];

  /* Velocity Verlet. Grades are computed only on the steps that print them. */
  const double kick = 0.5 * STEP / (MASS * TO_EV);
  for (int step = 0; step <= STEPS; step++) {
    if (step > 0) {
      for (int i = 0; i < ATOMS; i++) {
        for (int d = 0; d < 3; d++) {
          v[i][d] += kick * f[i][d];
          x[i][d] += STEP * v[i][d];
        }
      }
    }
    results.grade = step % EVERY == 0 ? grade : NULL;
    check(nepal_calculator_compute(calculator, &structure, &results));
    double kinetic = 0, largest = 0;
    for (int i = 0; i < ATOMS; i++) {
      for (int d = 0; d < 3; d++) {
        if (step > 0) v[i][d] += kick * f[i][d];
        kinetic += 0.5 * MASS * TO_EV * v[i][d] * v[i][d];
      }
      if (grade[i] > largest) largest = grade[i];
    }
    if (step % EVERY == 0) {
      printf("step %d: potential %.6f kinetic %.6f total %.6f eV, %.2f K, largest grade %.4f\n",
             step, potential, kinetic, potential + kinetic,
             2 * kinetic / (3 * (ATOMS - 1) * BOLTZMANN), largest);
    }
  }

  nepal_calculator_free(calculator);
  nepal_active_set_free(active_set);
  nepal_model_free(model);
  return 0;
}

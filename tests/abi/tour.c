/* Makes, uses and frees everything, right and wrong, several times; run under valgrind. */
#include <nepal.h>
#include <stdio.h>
#include <stdlib.h>

#define CHECK(condition)                                               \
  do {                                                                 \
    if (!(condition)) {                                                \
      fprintf(stderr, "tour.c:%d: %s\n", __LINE__, #condition);        \
      exit(2);                                                         \
    }                                                                  \
  } while (0)

static const double positions[2][3] = {{0, 0, 0}, {1.3, 1.3, 1.4}};
static const double cell[9] = {5.4, 0, 0, 0, 5.4, 0, 0, 0, 5.4};
static const int32_t types[2] = {0, 0};

static void once(const char *data) {
  char path[1000];
  nepal_model_t *model, *none;
  nepal_active_set_t *set;
  nepal_calculator_t *calculator;
  snprintf(path, sizeof path, "%s/nep.txt", data);
  CHECK(nepal_model_load(path, &model) == NEPAL_STATUS_SUCCESS);
  CHECK(nepal_model_load("/no/such/file", &none) == NEPAL_STATUS_IO && none == NULL);
  CHECK(nepal_active_set_load(path, model, &set) == NEPAL_STATUS_PARSE && set == NULL);
  snprintf(path, sizeof path, "%s/active_set.nas", data);
  CHECK(nepal_active_set_load(path, model, &set) == NEPAL_STATUS_SUCCESS);
  CHECK(nepal_calculator_new(model, NULL, &calculator) == NEPAL_STATUS_SUCCESS);
  CHECK(nepal_calculator_set_active_set(calculator, set) == NEPAL_STATUS_SUCCESS);
  nepal_active_set_free(set);
  nepal_posterior_t *posterior;
  CHECK(nepal_posterior_load(path, model, &posterior) == NEPAL_STATUS_PARSE && posterior == NULL);
  snprintf(path, sizeof path, "%s/posterior.json", data);
  CHECK(nepal_posterior_load(path, model, &posterior) == NEPAL_STATUS_SUCCESS);
  CHECK(nepal_calculator_set_posterior(calculator, posterior) == NEPAL_STATUS_SUCCESS);
  nepal_posterior_free(posterior);
  nepal_posterior_free(NULL);

  /* Arrays of the very size that the header asks for, so that an overrun is seen. */
  size_t dim, length;
  CHECK(nepal_model_dim(model, &dim) == NEPAL_STATUS_SUCCESS);
  CHECK(nepal_model_projection_length(model, &length) == NEPAL_STATUS_SUCCESS);
  const size_t numbers[13] = {1, 2, 6, 9, 18, 2 * dim, 2 * length, 2, 2, 2, 2, 2, 1};
  double *array[13];
  for (int k = 0; k < 13; k++) {
    array[k] = malloc(numbers[k] * sizeof(double));
    CHECK(array[k] != NULL);
  }
  nepal_structure_t structure = NEPAL_STRUCTURE_INIT;
  structure.n_atoms = 2;
  structure.positions = positions[0];
  structure.types = types;
  structure.cell = cell;
  for (int d = 0; d < 3; d++) structure.periodic[d] = 1;
  nepal_results_t results = NEPAL_RESULTS_INIT;
  results.energy = array[0];
  results.energies = array[1];
  results.forces = array[2];
  results.virial = array[3];
  results.virials = array[4];
  results.descriptors = array[5];
  results.projections = array[6];
  results.gamma = array[7];
  results.rho = array[8];
  results.grade = array[9];
  results.sigma = array[10];
  results.sigma_energies = array[11];
  results.sigma_energy = array[12];
  CHECK(nepal_calculator_compute(calculator, &structure, &results) == NEPAL_STATUS_SUCCESS);
  for (int k = 0; k < 2; k++) CHECK(array[10][k] > 0.0 && array[11][k] > 0.0);
  CHECK(array[12][0] > 0.0 && array[12][0] <= (array[11][0] + array[11][1]) * 1.000001);
  CHECK(nepal_calculator_contract(calculator, &structure, array[5], array[2], array[3]) ==
        NEPAL_STATUS_SUCCESS);

  const int32_t counts[2] = {1, 1}, neighbors[2] = {1, 0};
  nepal_host_list_t list = NEPAL_HOST_LIST_INIT;
  list.n_local = 2;
  list.n_total = 2;
  list.positions = positions[0];
  list.types = types;
  list.counts = counts;
  list.neighbors = neighbors;
  CHECK(nepal_calculator_compute_list(calculator, &list, &results) == NEPAL_STATUS_SUCCESS);
  const int32_t wrong[2] = {1, 5};
  list.neighbors = wrong;
  CHECK(nepal_calculator_compute_list(calculator, &list, &results) ==
        NEPAL_STATUS_INVALID_ARGUMENT);

  for (int k = 0; k < 13; k++) free(array[k]);
  nepal_model_free(model);
  nepal_calculator_free(calculator);
  nepal_calculator_free(NULL);
}

int main(int argc, char **argv) {
  for (int k = 0; k < 3; k++) once(argc > 1 ? argv[1] : "examples/data");
  return 0;
}

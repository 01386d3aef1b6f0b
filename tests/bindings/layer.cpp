// Parts of nepal.hpp that the examples do not show: sets, fragments, views, errors.
#include <nepal.hpp>

#include <cmath>
#include <cstdio>
#include <string>
#include <utility>

namespace {

int failures = 0, checks = 0;

void check(bool ok, const char *what) {
  ++checks;
  if (ok) return;
  ++failures;
  std::fprintf(stderr, "failed: %s\n", what);
}

// Runs something that must throw an Error of this status whose text has these words.
template <class Function>
void fails(nepal_status_t status, const std::string &words, Function function) {
  try {
    function();
    check(false, words.c_str());
  } catch (const nepal::Error &error) {
    check(error.status() == status && std::string(error.what()).find(words) != std::string::npos,
          error.what());
  }
}

nepal::Structure diamond(int n, const nepal::Model &model) {
  constexpr int basis[8][3] = {{0, 0, 0}, {0, 2, 2}, {2, 0, 2}, {2, 2, 0},
                               {1, 1, 1}, {1, 3, 3}, {3, 1, 3}, {3, 3, 1}};
  nepal::Structure s;
  for (int i = 0; i < 8 * n * n * n; ++i) {
    const int c = i / 8;
    const int shift[3] = {c / (n * n), c / n % n, c % n};
    for (int d = 0; d < 3; ++d) {
      s.positions.push_back(5.431 * (shift[d] + 0.25 * basis[i % 8][d]) +
                            0.04 * std::sin(1.7 * i + 2.1 * d));
    }
  }
  s.types.assign(s.positions.size() / 3, model.type("Si"));
  s.cell = {5.431 * n, 0, 0, 0, 5.431 * n, 0, 0, 0, 5.431 * n};
  s.periodic = {1, 1, 1};
  return s;
}

void sets(const nepal::Model &model, const std::string &folder) {
  std::vector<nepal::Structure> frames = {diamond(2, model), diamond(2, model)};
  for (double &x : frames[1].positions) x *= 1.02;
  for (double &x : frames[1].cell) x *= 1.02;
  nepal::ActiveSetOptions options;
  options.resolution = 60;
  const nepal::ActiveSet set = nepal::ActiveSet::build(model, frames, options);
  check(set.kind() == NEPAL_GRADE_RIDGE, "the kind");
  check(set.report().rfind("Si: 128 environments", 0) == 0, "the report");
  set.save(folder + "/set.nas");
  const nepal::ActiveSet again(folder + "/set.nas", model);
  check(again.rank(0) == set.rank(0) && again.rank(0) > 1, "the rank");
  check(again.report().empty(), "no report of a file");
  nepal::Calculator calculator(model);
  calculator.set_active_set(again);
  const auto grades = calculator.compute(frames[1], nepal::grades);
  for (double gamma : grades.gamma) check(gamma <= 1.0, "inside");
  frames[1].types[3] = 9;
  fails(NEPAL_STATUS_INVALID_ARGUMENT, "structure 1: atom 3 has type 9",
        [&] { nepal::ActiveSet::build(model, frames); });
}

void fragments(const nepal::Model &model, const std::string &data) {
  nepal::Calculator calculator(model);
  calculator.set_active_set(nepal::ActiveSet(data + "/active_set.nas", model));
  nepal::Structure parent = diamond(4, model);
  parent.positions[12] += 0.9;
  nepal_fragment_options_t options = NEPAL_FRAGMENT_OPTIONS_INIT;
  options.max_atoms = 120;
  const nepal::Fragment fragment = calculator.fragment_around(parent, 4, options);
  check(fragment.structure.size() <= 120 && !fragment.whole, "the size");
  check(fragment.target_tag == 4 && fragment.core[fragment.target] == 1, "the target");
  check(fragment.grade > 2 && !fragment.summary.empty() && fragment.grades.empty(), "what is told");
  const auto measured = calculator.grade_gradient(parent, NEPAL_MEASURE_TOTAL);
  check(std::abs(measured.values[4] - fragment.grade) < 1e-9 * fragment.grade, "a measured grade");
  check(measured.gradient.size() == parent.size() * model.dim(), "the gradient of a grade");
  options.max_atoms = 20;
  fails(NEPAL_STATUS_FAILED, "no fragment can be made around atom 4",
        [&] { calculator.fragment_around(parent, 4, options); });
  fails(NEPAL_STATUS_INVALID_ARGUMENT, "atom 512",
        [&] { calculator.fragment_around(parent, 512, options); });
}

void views(const nepal::Model &model) {
  nepal::Calculator moved(model);
  nepal::Calculator calculator = std::move(moved);
  const nepal::Structure s = diamond(1, model);
  const nepal::Results expected = calculator.compute(s, nepal::forces | nepal::virials);
  double energy = 0.0, forces[24], virials[72];
  nepal::Places places;
  places.energy = &energy;
  places.forces = {forces, 24};
  places.virials = {virials, 72};
  const nepal::Atoms atoms{s.positions, s.types, s.cell, {1, 1, 1}, {}, 0};
  calculator.compute(atoms, places);
  check(energy == expected.energy, "the energy in place");
  for (int k = 0; k < 24; ++k) check(forces[k] == expected.forces[static_cast<size_t>(k)], "forces");
  for (int k = 0; k < 72; ++k) check(virials[k] == expected.virials[static_cast<size_t>(k)], "virials");
  places.forces = {forces, 23};
  fails(NEPAL_STATUS_INVALID_ARGUMENT, "forces has 23 numbers; expected 24",
        [&] { calculator.compute(atoms, places); });
  fails(NEPAL_STATUS_INVALID_ARGUMENT, "cell of 8 numbers", [&] {
    nepal::Atoms bad = atoms;
    bad.cell = {s.cell.data(), 8};
    bad.view();
  });
  fails(NEPAL_STATUS_INVALID_ARGUMENT, "8 types, 23 coordinates", [&] {
    nepal::Atoms bad = atoms;
    bad.positions = {s.positions.data(), 23};
    bad.view();
  });
}

}  // namespace

int main(int, char **argv) {
  const nepal::Model model(std::string(argv[1]) + "/nep.txt");
  sets(model, argv[2]);
  fragments(model, argv[1]);
  views(model);
  if (failures > 0) return 1;
  std::printf("%d checks passed\n", checks);
  return 0;
}

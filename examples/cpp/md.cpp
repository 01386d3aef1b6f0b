// A small molecular dynamics program: 64 silicon atoms for 100 fs, with the largest grade watched.
// The same in C and Fortran prints the same numbers. With nepal installed:
//
//   c++ -std=c++17 examples/cpp/md.cpp $(pkg-config --cflags --libs nepal) -o md
//   ./md examples/data

#include <nepal.hpp>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <string>
#include <vector>

namespace {

constexpr int cells = 2, atoms = 8 * cells * cells * cells, steps = 100, every = 20;
constexpr double lattice = 5.431;          // A
constexpr double mass = 28.085;            // atomic mass units
constexpr double dt = 0.001;               // ps
constexpr double to_ev = 1.0364269656e-4;  // one atomic mass unit (A/ps)^2 in eV
constexpr double boltzmann = 8.617333e-5;  // eV/K

struct State {
  std::vector<double> x, v, f;
};

// Diamond, and velocities that add up to nothing.
State start() {
  constexpr double basis[8][3] = {{0, 0, 0},          {0, 0.5, 0.5},      {0.5, 0, 0.5},
                                  {0.5, 0.5, 0},      {0.25, 0.25, 0.25}, {0.25, 0.75, 0.75},
                                  {0.75, 0.25, 0.75}, {0.75, 0.75, 0.25}};
  State state;
  double mean[3] = {0, 0, 0};
  for (int i = 0; i < atoms; ++i) {
    const int cell = i / 8;
    const int shift[3] = {cell / (cells * cells), cell / cells % cells, cell % cells};
    for (int d = 0; d < 3; ++d) {
      state.x.push_back(lattice * (shift[d] + basis[i % 8][d]));
      state.v.push_back(9.0 * std::sin(1.7 * (3 * i + d) + 0.3 * d));
      mean[d] += state.v.back() / atoms;
    }
  }
  for (std::size_t k = 0; k < state.v.size(); ++k) state.v[k] -= mean[k % 3];
  state.f.resize(state.x.size());
  return state;
}

void run(const std::string &data) {
  const nepal::Model model(data + "/nep.txt");
  const nepal::ActiveSet active_set(data + "/active_set.nas", model);
  nepal::Calculator calculator(model);
  calculator.set_active_set(active_set);

  auto [x, v, f] = start();
  std::vector<double> grade(atoms);
  const std::vector<std::int32_t> types(atoms, model.type("Si"));
  constexpr double edge = cells * lattice;
  const std::vector<double> cell = {edge, 0, 0, 0, edge, 0, 0, 0, edge};
  // Where the arrays lie; nothing is copied from here on.
  const nepal::Atoms system{x, types, cell, {1, 1, 1}, {}, 0};
  double potential = 0.0;
  nepal::Places places;
  places.energy = &potential;
  places.forces = f;

  // Velocity Verlet. Grades are computed only on the steps that print them.
  constexpr double kick = 0.5 * dt / (mass * to_ev);
  for (int step = 0; step <= steps; ++step) {
    if (step > 0) {
      for (std::size_t k = 0; k < x.size(); ++k) {
        v[k] += kick * f[k];
        x[k] += dt * v[k];
      }
    }
    const bool print = step % every == 0;
    places.grade = print ? nepal::Span<double>(grade) : nepal::Span<double>();
    calculator.compute(system, places);
    double kinetic = 0.0;
    for (std::size_t k = 0; k < x.size(); ++k) {
      if (step > 0) v[k] += kick * f[k];
      kinetic += 0.5 * mass * to_ev * v[k] * v[k];
    }
    if (print) {
      std::printf(
          "step %d: potential %.6f kinetic %.6f total %.6f eV, %.2f K, largest grade %.4f\n", step,
          potential, kinetic, potential + kinetic, 2 * kinetic / (3 * (atoms - 1) * boltzmann),
          *std::max_element(grade.begin(), grade.end()));
    }
  }
}

}  // namespace

int main(int argc, char **argv) {
  try {
    run(argc > 1 ? argv[1] : "examples/data");
  } catch (const nepal::Error &error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
  return 0;
}

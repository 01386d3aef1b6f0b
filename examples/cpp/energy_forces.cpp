// Energy, forces and the largest grade of eight silicon atoms. With nepal installed:
//
//   c++ -std=c++17 examples/cpp/energy_forces.cpp $(pkg-config --cflags --libs nepal) -o energy_forces
//   ./energy_forces examples/data

#include <nepal.hpp>

#include <algorithm>
#include <cstdio>
#include <string>

namespace {

void run(const std::string &data) {
  nepal::Model model(data + "/nep.txt");
  nepal::ActiveSet active_set(data + "/active_set.nas", model);
  nepal::Calculator calculator(model);
  calculator.set_active_set(active_set);

  // Diamond, a little distorted, one atom far off its place. Angstrom.
  nepal::Structure structure;
  structure.cell = {5.431, 0, 0, 0, 5.431, 0, 0, 0, 5.431};
  structure.periodic = {1, 1, 1};
  structure.types.assign(8, model.type("Si"));
  structure.positions = {0.0426, -0.0087, 0.0581, 0.0255, 2.6691, 2.7225,   //
                         2.8093, -0.0224, 2.6925, 2.7301, 2.7817, -0.0612,  //
                         1.9529, 1.7849,  1.0139, 1.4183, 3.9930, 4.0595,   //
                         4.1556, 1.4575,  4.0331, 4.0636, 4.0584, 1.3466};
  const nepal::Results results = calculator.compute(structure, nepal::forces | nepal::grades);

  std::printf("energy: %.6f eV\n", results.energy);
  for (std::size_t i = 0; i < structure.size(); ++i) {
    const double *f = &results.forces[3 * i];
    std::printf("force on atom %zu: %.6f %.6f %.6f eV/A\n", i, f[0], f[1], f[2]);
  }
  const auto largest = std::max_element(results.grade.begin(), results.grade.end());
  std::printf("largest grade: %.6f, atom %d\n", *largest,
              static_cast<int>(largest - results.grade.begin()));
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

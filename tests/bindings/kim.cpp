// A KIM simulator that asks of a model what KIM's verification checks ask, and compares it with
// nepal itself. Arguments: the name of the model, its nep.txt, and "small" for little work.
#include <KIM_SimulatorHeaders.hpp>
#include <nepal.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <numeric>
#include <string>
#include <thread>
#include <vector>

namespace {

using Matrix = std::array<double, 9>;

int failures = 0, checks = 0;

void check(bool ok, const std::string &what) {
  ++checks;
  if (ok) return;
  ++failures;
  std::fprintf(stderr, "failed: %s\n", what.c_str());
}

void close(double a, double b, double tolerance, const std::string &what) {
  char text[200];
  std::snprintf(text, sizeof text, "%s: %.12g against %.12g", what.c_str(), a, b);
  check(std::abs(a - b) <= tolerance, text);
}

struct System {
  std::vector<double> x;  // [n][3]
  std::vector<std::string> symbols;
  Matrix cell{};  // a lattice vector a row
  std::array<int, 3> periodic{};
  std::size_t size() const { return symbols.size(); }
};

// Forces and virial with the ghosts' share brought home.
struct Found {
  double energy = 0.0;
  std::vector<double> energies, forces;
  std::array<double, 6> virial{}, summed{};
};

struct Lists {
  std::vector<std::vector<int>> of;
};

int get_neighbors(void *data, int, double const *, int, int particle, int *count, int const **list) {
  const Lists &lists = *static_cast<Lists *>(data);
  const auto &found = lists.of[static_cast<std::size_t>(particle)];
  *count = static_cast<int>(found.size());
  *list = found.data();
  return 0;
}

struct Units {
  KIM::LengthUnit length = KIM::LENGTH_UNIT::A;
  KIM::EnergyUnit energy = KIM::ENERGY_UNIT::eV;
};

// A model as a simulator holds it.
class Model {
 public:
  explicit Model(const std::string &name, Units units = {}) {
    int accepted = 0;
    if (KIM::Model::Create(KIM::NUMBERING::zeroBased, units.length, units.energy,
                           KIM::CHARGE_UNIT::e, KIM::TEMPERATURE_UNIT::K, KIM::TIME_UNIT::ps, name,
                           &accepted, &model_) != 0) {
      std::fprintf(stderr, "KIM cannot make %s\n", name.c_str());
      std::exit(2);
    }
    check(accepted == 1, "the units are accepted");
    model_->GetInfluenceDistance(&influence);
    int count = 0;
    double const *cutoffs = nullptr;
    int const *no_ghosts = nullptr;
    model_->GetNeighborListPointers(&count, &cutoffs, &no_ghosts);
    check(count == 1 && cutoffs[0] == influence && no_ghosts[0] == 1, "one list, none of ghosts");
    check(model_->ComputeArgumentsCreate(&arguments_) == 0, "arguments are made");
  }

  ~Model() {
    model_->ComputeArgumentsDestroy(&arguments_);
    KIM::Model::Destroy(&model_);
  }

  Model(const Model &) = delete;
  Model &operator=(const Model &) = delete;

  int species(const std::string &symbol) const {
    int supported = 0, code = -1;
    if (model_->GetSpeciesSupportAndCode(KIM::SpeciesName(symbol), &supported, &code) != 0) return -1;
    return supported != 0 ? code : -1;
  }

  // With `ghosts_first` the particles that contribute come last.
  Found compute(const System &s, bool ghosts_first = false) {
    const std::size_t n = s.size();
    std::vector<double> x = s.x;
    std::vector<int> home(n);
    std::iota(home.begin(), home.end(), 0);
    add_images(s, x, home);
    const std::size_t total = home.size();
    std::vector<std::size_t> order(total);
    std::iota(order.begin(), order.end(), 0U);
    if (ghosts_first) std::rotate(order.begin(), order.begin() + static_cast<long>(n), order.end());

    // One more, so that no address is NULL, which KIM takes for "not wanted".
    std::vector<double> coordinates(3 * total + 1), forces(3 * total + 1), energies(total + 1);
    std::vector<double> virials(6 * total + 1);
    std::vector<int> codes(total + 1), contributing(total + 1);
    Lists lists;
    lists.of.resize(total);
    for (std::size_t k = 0; k < total; ++k) {
      const std::size_t i = order[k];
      for (std::size_t d = 0; d < 3; ++d) coordinates[3 * k + d] = x[3 * i + d];
      codes[k] = species(s.symbols[static_cast<std::size_t>(home[i])]);
      contributing[k] = i < n ? 1 : 0;
    }
    for (std::size_t a = 0; a < total; ++a) {
      for (std::size_t b = 0; contributing[a] != 0 && b < total; ++b) {
        double square = 0;
        for (std::size_t d = 0; d < 3; ++d) {
          square += std::pow(coordinates[3 * a + d] - coordinates[3 * b + d], 2);
        }
        if (a != b && square <= influence * influence) lists.of[a].push_back(static_cast<int>(b));
      }
    }

    Found found;
    const int count = static_cast<int>(total);
    namespace name = KIM::COMPUTE_ARGUMENT_NAME;
    bool refused = arguments_->SetArgumentPointer(name::numberOfParticles, &count) != 0;
    refused |= arguments_->SetArgumentPointer(name::particleSpeciesCodes, codes.data()) != 0;
    refused |= arguments_->SetArgumentPointer(name::particleContributing, contributing.data()) != 0;
    refused |= arguments_->SetArgumentPointer(name::coordinates, coordinates.data()) != 0;
    refused |= arguments_->SetArgumentPointer(name::partialEnergy, &found.energy) != 0;
    refused |= arguments_->SetArgumentPointer(name::partialParticleEnergy, energies.data()) != 0;
    refused |= arguments_->SetArgumentPointer(name::partialForces, forces.data()) != 0;
    refused |= arguments_->SetArgumentPointer(name::partialVirial, found.virial.data()) != 0;
    refused |= arguments_->SetArgumentPointer(name::partialParticleVirial, virials.data()) != 0;
    refused |= arguments_->SetCallbackPointer(
                   KIM::COMPUTE_CALLBACK_NAME::GetNeighborList, KIM::LANGUAGE_NAME::cpp,
                   reinterpret_cast<KIM::Function *>(&get_neighbors), &lists) != 0;
    check(!refused, "the arguments are taken");
    failed = model_->Compute(arguments_) != 0;

    found.energies.assign(n, 0.0);
    found.forces.assign(3 * n, 0.0);
    for (std::size_t k = 0; k < total; ++k) {
      const auto i = static_cast<std::size_t>(home[order[k]]);
      found.energies[i] += energies[k];
      for (std::size_t d = 0; d < 3; ++d) found.forces[3 * i + d] += forces[3 * k + d];
      for (std::size_t c = 0; c < 6; ++c) found.summed[c] += virials[6 * k + c];
    }
    return found;
  }

  double influence = 0.0;
  bool failed = false;

 private:
  // Images within reach of an atom of the cell.
  void add_images(const System &s, std::vector<double> &x, std::vector<int> &home) const {
    constexpr int far = 4;
    const std::size_t n = s.size();
    for (int a = -far * s.periodic[0]; a <= far * s.periodic[0]; ++a) {
      for (int b = -far * s.periodic[1]; b <= far * s.periodic[1]; ++b) {
        for (int c = -far * s.periodic[2]; c <= far * s.periodic[2]; ++c) {
          if (a == 0 && b == 0 && c == 0) continue;
          for (std::size_t i = 0; i < n; ++i) {
            double image[3];
            for (std::size_t d = 0; d < 3; ++d) {
              image[d] = s.x[3 * i + d] + a * s.cell[d] + b * s.cell[3 + d] + c * s.cell[6 + d];
            }
            bool near = false;
            for (std::size_t j = 0; j < n && !near; ++j) {
              double square = 0;
              for (std::size_t d = 0; d < 3; ++d) square += std::pow(image[d] - s.x[3 * j + d], 2);
              near = square <= influence * influence;
            }
            if (!near) continue;
            x.insert(x.end(), image, image + 3);
            home.push_back(static_cast<int>(i));
          }
        }
      }
    }
  }

  KIM::Model *model_ = nullptr;
  KIM::ComputeArguments *arguments_ = nullptr;
};

// Twelve atoms of all elements, no two close; a small skewed cell if it is periodic.
System atoms(const std::vector<std::string> &elements, std::array<int, 3> periodic) {
  System s;
  for (int k = 0; k < 12; ++k) {
    const int place[3] = {k / 4, k / 2 % 2, k % 2};
    for (int d = 0; d < 3; ++d) s.x.push_back(2.7 * place[d] + 0.2 * std::sin(1.3 * k + 2.9 * d));
    s.symbols.push_back(elements[static_cast<std::size_t>(k) % elements.size()]);
  }
  s.cell = {8.3, 0.2, 0.0, 0.4, 5.9, 0.1, 0.0, -0.3, 5.7};
  s.periodic = periodic;
  return s;
}

// x -> R x + t for atoms and cell.
System moved(const System &s, const Matrix &r, const std::array<double, 3> &t) {
  System out = s;
  for (std::size_t i = 0; i < s.size(); ++i) {
    for (std::size_t d = 0; d < 3; ++d) {
      out.x[3 * i + d] = t[d];
      for (std::size_t e = 0; e < 3; ++e) out.x[3 * i + d] += r[3 * d + e] * s.x[3 * i + e];
    }
  }
  for (std::size_t v = 0; v < 3; ++v) {
    for (std::size_t d = 0; d < 3; ++d) {
      out.cell[3 * v + d] = 0;
      for (std::size_t e = 0; e < 3; ++e) out.cell[3 * v + d] += r[3 * d + e] * s.cell[3 * v + e];
    }
  }
  return out;
}

double scale_of(const Found &found) {
  double scale = 1.0;
  for (double f : found.forces) scale = std::max(scale, std::abs(f));
  return scale;
}

// The numbers of nepal itself, without KIM.
void the_same_as_nepal(Model &kim, const nepal::Model &model, const System &s) {
  nepal::Structure structure;
  structure.positions = s.x;
  for (const auto &symbol : s.symbols) structure.types.push_back(model.type(symbol));
  structure.cell = s.cell;
  structure.periodic = {s.periodic[0], s.periodic[1], s.periodic[2]};
  nepal::Calculator calculator(model);
  const auto expected =
      calculator.compute(structure, nepal::energies | nepal::forces | nepal::virial);
  const Matrix &w = expected.virial;
  const double voigt[6] = {-w[0], -w[4], -w[8], -w[5], -w[2], -w[1]};
  for (bool ghosts_first : {false, true}) {
    const Found found = kim.compute(s, ghosts_first);
    check(!kim.failed, "a computation");
    const double tolerance = 1e-9 * scale_of(found);
    close(found.energy, expected.energy, tolerance, "energy of nepal");
    for (std::size_t i = 0; i < s.size(); ++i) {
      close(found.energies[i], expected.energies[i], tolerance, "energy of a particle");
    }
    for (std::size_t k = 0; k < 3 * s.size(); ++k) {
      close(found.forces[k], expected.forces[k], tolerance, "force of nepal");
    }
    for (std::size_t c = 0; c < 6; ++c) {
      close(found.virial[c], voigt[c], 10 * tolerance, "virial of nepal");
      close(found.summed[c], voigt[c], 10 * tolerance, "virials of the particles");
    }
  }
}

void permutation(Model &kim, const System &s) {
  const Found a = kim.compute(s);
  System other = s;
  std::vector<std::size_t> order(s.size());
  for (std::size_t k = 0; k < s.size(); ++k) order[k] = (5 * k + 3) % s.size();
  for (std::size_t k = 0; k < s.size(); ++k) {
    other.symbols[k] = s.symbols[order[k]];
    for (std::size_t d = 0; d < 3; ++d) other.x[3 * k + d] = s.x[3 * order[k] + d];
  }
  const Found b = kim.compute(other);
  const double tolerance = 1e-9 * scale_of(a);
  close(a.energy, b.energy, tolerance, "permutation: energy");
  for (std::size_t k = 0; k < 3 * s.size(); ++k) {
    close(a.forces[3 * order[k / 3] + k % 3], b.forces[k], tolerance, "permutation: forces");
  }
}

void objectivity_and_inversion(Model &kim, const System &s) {
  const Found a = kim.compute(s);
  const double tolerance = 1e-8 * scale_of(a);
  const double p = 0.7, q = 1.9;
  const Matrix rotation = {std::cos(p), -std::sin(p), 0, std::cos(q) * std::sin(p),
                           std::cos(q) * std::cos(p), -std::sin(q), std::sin(q) * std::sin(p),
                           std::sin(q) * std::cos(p), std::cos(q)};
  const Matrix inversion = {-1, 0, 0, 0, -1, 0, 0, 0, -1};
  for (const Matrix &r : {rotation, inversion}) {
    const Found b = kim.compute(moved(s, r, {0.3, -1.1, 2.0}));
    close(a.energy, b.energy, tolerance, "objectivity: energy");
    for (std::size_t i = 0; i < s.size(); ++i) {
      for (std::size_t d = 0; d < 3; ++d) {
        double turned = 0;
        for (std::size_t e = 0; e < 3; ++e) turned += r[3 * d + e] * a.forces[3 * i + e];
        close(turned, b.forces[3 * i + d], tolerance, "objectivity: forces");
      }
    }
  }
}

void periodicity(Model &kim, const std::vector<std::string> &elements) {
  for (int mask = 0; mask < 8; ++mask) {
    const System s = atoms(elements, {mask & 1, mask >> 1 & 1, mask >> 2 & 1});
    const Found a = kim.compute(s);
    const double tolerance = 1e-8 * scale_of(a);
    for (std::size_t axis = 0; axis < 3; ++axis) {
      if (s.periodic[axis] == 0) continue;
      System twice = s;
      for (std::size_t i = 0; i < s.size(); ++i) {
        twice.symbols.push_back(s.symbols[i]);
        for (std::size_t d = 0; d < 3; ++d) {
          twice.x.push_back(s.x[3 * i + d] + s.cell[3 * axis + d]);
        }
      }
      for (std::size_t d = 0; d < 3; ++d) twice.cell[3 * axis + d] *= 2;
      const Found b = kim.compute(twice);
      close(2 * a.energy, b.energy, tolerance, "periodicity: two periods");
      for (std::size_t k = 0; k < 3 * s.size(); ++k) {
        close(a.forces[k], b.forces[3 * s.size() + k], tolerance, "periodicity: forces");
      }
      System wrapped = s;
      for (std::size_t d = 0; d < 3; ++d) wrapped.x[9 + d] += s.cell[3 * axis + d];
      close(a.energy, kim.compute(wrapped).energy, tolerance, "periodicity: another image");
    }
  }
}

void derivatives(Model &kim, const System &s, std::size_t stride) {
  const Found a = kim.compute(s);
  const double h = 1e-4, tolerance = 1e-5 * scale_of(a);
  for (std::size_t k = 0; k < 3 * s.size(); k += stride) {
    System up = s, down = s;
    up.x[k] += h;
    down.x[k] -= h;
    const double numeric = -(kim.compute(up).energy - kim.compute(down).energy) / (2 * h);
    close(a.forces[k], numeric, tolerance, "a force is the derivative");
  }
}

void dimers(Model &kim, const std::vector<std::string> &elements, int steps) {
  System pair;
  pair.symbols = {elements.front(), elements.back()};
  const auto at = [&](double r) {
    pair.x = {0, 0, 0, r, 0, 0};
    const Found found = kim.compute(pair);
    return std::array<double, 2>{found.energy, found.forces[3]};
  };
  const double first = 1.2, last = kim.influence + 0.5;
  const double apart = at(last)[0];
  const double step = (last - first) / steps;
  for (int k = 0; k + 2 <= steps; k += 2) {
    const auto a = at(first + k * step), b = at(first + (k + 1) * step), c = at(first + (k + 2) * step);
    // Simpson: the energy changes by the force and by nothing else.
    const double expected = -(a[1] + 4 * b[1] + c[1]) * step / 3;
    const double tolerance = 2e-6 * std::max(1.0, std::abs(a[1]));
    close(c[0] - a[0], expected, tolerance, "a dimer's energy has no step");
  }
  const auto end = at(kim.influence * (1 - 1e-6));
  close(end[0], apart, 1e-6, "a dimer's energy ends at the cutoff");
  close(end[1], 0.0, 1e-3, "a dimer's force ends at the cutoff");
}

void units(const std::string &name, const System &s, const Found &expected) {
  Model nano(name, {KIM::LENGTH_UNIT::nm, KIM::ENERGY_UNIT::kcal_mol});
  Model bohr(name, {KIM::LENGTH_UNIT::Bohr, KIM::ENERGY_UNIT::Hartree});
  struct Case {
    Model &model;
    double length, energy;
  };
  // CODATA 2018: one Å and one eV.
  for (const Case &c : {Case{nano, 0.1, 23.060547830619}, Case{bohr, 1 / 0.529177210903, 1 / 27.211386245988}}) {
    System scaled = s;
    for (double &x : scaled.x) x *= c.length;
    for (double &x : scaled.cell) x *= c.length;
    const Found found = c.model.compute(scaled);
    // The KIM API has its own values of the constants, which differ in the seventh digit.
    close(found.energy, expected.energy * c.energy, 1e-5 * std::abs(found.energy), "units: energy");
    const double to_force = c.energy / c.length;
    for (std::size_t k = 0; k < found.forces.size(); ++k) {
      close(found.forces[k], expected.forces[k] * to_force, 1e-4 * to_force, "units: forces");
    }
  }
}

void threads(const std::string &name, const System &s, const Found &expected) {
  std::vector<Found> found(4);
  std::vector<std::thread> pool;
  for (Found &mine : found) {
    pool.emplace_back([&mine, &name, &s] {
      Model model(name);
      for (int k = 0; k < 5; ++k) mine = model.compute(s);
    });
  }
  for (std::thread &thread : pool) thread.join();
  for (const Found &mine : found) {
    check(mine.energy == expected.energy && mine.forces == expected.forces, "threads agree");
  }
}

}  // namespace

int main(int argc, char **argv) {
  const std::string name = argv[1];
  const bool small = argc > 3;
  const nepal::Model model(argv[2]);
  const std::vector<std::string> elements = model.elements();
  Model kim(name);
  close(kim.influence, model.cutoff(), 0.0, "the influence distance");
  for (const auto &symbol : elements) check(kim.species(symbol) == model.type(symbol), "a species");
  check(kim.species("Xe") == -1, "a species that the model lacks");
  const System open = atoms(elements, {0, 0, 0}), periodic = atoms(elements, {1, 1, 1});
  for (const System *s : {&open, &periodic}) {
    the_same_as_nepal(kim, model, *s);
    permutation(kim, *s);
    objectivity_and_inversion(kim, *s);
    derivatives(kim, *s, small ? 18 : 4);
  }
  if (!small) periodicity(kim, elements);
  if (!small) dimers(kim, elements, 2000);
  const Found expected = kim.compute(periodic);
  if (!small) threads(name, periodic, expected);
  units(name, periodic, expected);
  // Two atoms in one place are an error of KIM's, and the model is as good as before.
  System broken = periodic;
  for (std::size_t d = 0; d < 3; ++d) broken.x[d] = broken.x[3 + d];
  kim.compute(broken);
  check(kim.failed, "two atoms in one place are refused");
  close(kim.compute(periodic).energy, expected.energy, 0.0, "and the next is right again");
  System nothing;
  close(kim.compute(nothing).energy, 0.0, 0.0, "no atoms");
  check(!kim.failed, "no atoms are no error");
  if (failures > 0) return 1;
  std::printf("%d checks passed\n", checks);
  return 0;
}

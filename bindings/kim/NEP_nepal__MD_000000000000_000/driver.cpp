// SPDX-License-Identifier: MIT OR Apache-2.0
//
// A KIM model driver that evaluates a nep.txt with nepal: energy, energy of each particle, forces,
// virial and virial of each particle. KIM has no channel for grades.

#include <nepal.hpp>

#include <exception>
#include <memory>
#include <string>
#include <vector>

#include "KIM_LogMacros.hpp"
#include "KIM_ModelDriverHeaders.hpp"

// As the KIM API calls it.
extern "C" {
int model_driver_create(KIM::ModelDriverCreate *const modelDriverCreate,
                        KIM::LengthUnit const lengthUnit, KIM::EnergyUnit const energyUnit,
                        KIM::ChargeUnit const chargeUnit,
                        KIM::TemperatureUnit const temperatureUnit, KIM::TimeUnit const timeUnit);
}

namespace {

// What a model of this driver holds. One thread at a time computes with a model, as KIM has it.
struct Potential {
  Potential(const std::string &path, double length, double energy)
      : model(path), calculator(model), to_length(length), to_energy(energy) {
    cutoff = model.cutoff() * to_length;
    // KIM has no temperature, and no sums over reciprocal space of a simulator's ghosts.
    const std::string kind = model.kind();
    const std::size_t version = kind.find('_');
    if (version != std::string::npos && kind.substr(version) != "_zbl") {
      throw nepal::Error(NEPAL_STATUS_UNSUPPORTED, path + " is a model of the kind " + kind +
                                                       "; KIM takes nep3 to nep5, with or without zbl");
    }
  }

  nepal::Model model;
  nepal::Calculator calculator;
  // One Å and one eV in the simulator's units.
  double to_length, to_energy;
  // In the simulator's units; KIM keeps its address.
  double cutoff;
  // Neighbours of neighbours of particles that contribute nothing are never asked for.
  int no_neighbors_of_ghosts = 1;

  // Particles that contribute come first for nepal: `order[k]` is the simulator's index of ours.
  std::vector<int> order, place;
  std::vector<std::int32_t> types, counts, neighbors;
  std::vector<double> positions, forces, virials;
  std::vector<double> energies;
};

// Runs the body of a routine; an exception becomes an entry in the log and KIM's "error".
template <class Object, class Body>
int guarded(const Object *object, int line, Body body) {
  std::string text;
  try {
    body();
    return 0;
  } catch (const std::exception &error) {
    text = error.what();
  } catch (...) {
    text = "an unknown exception";
  }
  object->LogEntry(KIM::LOG_VERBOSITY::error, text, line, __FILE__);
  return 1;
}

void require(bool ok, const char *what) {
  if (!ok) throw nepal::Error(NEPAL_STATUS_FAILED, std::string("the KIM API refused ") + what);
}

int compute_arguments_create(KIM::ModelCompute const *const,
                             KIM::ModelComputeArgumentsCreate *const create) {
  return guarded(create, __LINE__, [&] {
    namespace name = KIM::COMPUTE_ARGUMENT_NAME;
    for (const auto argument : {name::partialEnergy, name::partialForces,
                                name::partialParticleEnergy, name::partialVirial,
                                name::partialParticleVirial}) {
      require(!create->SetArgumentSupportStatus(argument, KIM::SUPPORT_STATUS::optional),
              "an optional result");
    }
  });
}

int compute_arguments_destroy(KIM::ModelCompute const *const,
                              KIM::ModelComputeArgumentsDestroy *const) {
  return 0;
}

// Particles, types and lists in nepal's order and units.
void take_particles(Potential &p, const KIM::ModelComputeArguments *arguments, int n,
                    const int *species, const int *contributing, const double *coordinates) {
  p.order.clear();
  p.place.resize(static_cast<std::size_t>(n));
  for (const int wanted : {1, 0}) {
    for (int i = 0; i < n; ++i) {
      if ((contributing[i] != 0) != (wanted != 0)) continue;
      p.place[static_cast<std::size_t>(i)] = static_cast<int>(p.order.size());
      p.order.push_back(i);
    }
  }
  p.types.clear();
  p.positions.clear();
  p.counts.clear();
  p.neighbors.clear();
  for (const int i : p.order) {
    p.types.push_back(species[i]);
    for (int d = 0; d < 3; ++d) p.positions.push_back(coordinates[3 * i + d] / p.to_length);
    if (contributing[i] == 0) continue;
    int count = 0;
    const int *list = nullptr;
    require(!arguments->GetNeighborList(0, i, &count, &list), "a neighbour list");
    p.counts.push_back(count);
    for (int k = 0; k < count; ++k) {
      p.neighbors.push_back(p.place[static_cast<std::size_t>(list[k])]);
    }
  }
}

// KIM's order is xx yy zz yz xz xy, its sign that of dE/d(strain).
void to_voigt(const double *virial, double scale, double *out) {
  constexpr int pairs[6][2] = {{0, 0}, {1, 1}, {2, 2}, {1, 2}, {0, 2}, {0, 1}};
  for (int k = 0; k < 6; ++k) {
    const int a = pairs[k][0], b = pairs[k][1];
    out[k] = -scale * 0.5 * (virial[3 * a + b] + virial[3 * b + a]);
  }
}

int compute(KIM::ModelCompute const *const modelCompute,
            KIM::ModelComputeArguments const *const arguments) {
  return guarded(modelCompute, __LINE__, [&] {
    namespace name = KIM::COMPUTE_ARGUMENT_NAME;
    Potential *potential = nullptr;
    modelCompute->GetModelBufferPointer(reinterpret_cast<void **>(&potential));
    Potential &p = *potential;

    const int *count = nullptr, *species = nullptr, *contributing = nullptr;
    const double *coordinates = nullptr;
    double *energy = nullptr, *energies = nullptr, *forces = nullptr;
    double *virial = nullptr, *virials = nullptr;
    const bool failed =
        arguments->GetArgumentPointer(name::numberOfParticles, &count) ||
        arguments->GetArgumentPointer(name::particleSpeciesCodes, &species) ||
        arguments->GetArgumentPointer(name::particleContributing, &contributing) ||
        arguments->GetArgumentPointer(name::coordinates, &coordinates) ||
        arguments->GetArgumentPointer(name::partialEnergy, &energy) ||
        arguments->GetArgumentPointer(name::partialForces, &forces) ||
        arguments->GetArgumentPointer(name::partialParticleEnergy, &energies) ||
        arguments->GetArgumentPointer(name::partialVirial, &virial) ||
        arguments->GetArgumentPointer(name::partialParticleVirial, &virials);
    require(!failed, "the arguments of a computation");

    take_particles(p, arguments, *count, species, contributing, coordinates);
    const std::size_t n = p.types.size(), n_local = p.counts.size();
    nepal_host_list_t list = NEPAL_HOST_LIST_INIT;
    list.n_local = n_local;
    list.n_total = n;
    list.positions = p.positions.data();
    list.types = p.types.data();
    list.counts = p.counts.data();
    list.neighbors = p.neighbors.data();
    static const std::int32_t nothing = 0;
    if (p.neighbors.empty()) list.neighbors = &nothing;

    double sum = 0.0, total[9];
    nepal_results_t results = NEPAL_RESULTS_INIT;
    results.energy = &sum;
    if (energies != nullptr) {
      p.energies.resize(n_local + 1);
      results.energies = p.energies.data();
    }
    if (forces != nullptr) {
      p.forces.resize(3 * n + 1);
      results.forces = p.forces.data();
    }
    if (virial != nullptr) results.virial = total;
    if (virials != nullptr) {
      p.virials.resize(9 * n + 1);
      results.virials = p.virials.data();
    }
    p.calculator.compute(list, results);

    if (energy != nullptr) *energy = sum * p.to_energy;
    if (virial != nullptr) to_voigt(total, p.to_energy, virial);
    for (std::size_t k = 0; k < n; ++k) {
      const auto i = static_cast<std::size_t>(p.order[k]);
      if (energies != nullptr) energies[i] = k < n_local ? p.energies[k] * p.to_energy : 0.0;
      if (virials != nullptr) to_voigt(&p.virials[9 * k], p.to_energy, virials + 6 * i);
      for (std::size_t d = 0; forces != nullptr && d < 3; ++d) {
        forces[3 * i + d] = p.forces[3 * k + d] * p.to_energy / p.to_length;
      }
    }
  });
}

int destroy(KIM::ModelDestroy *const modelDestroy) {
  Potential *potential = nullptr;
  modelDestroy->GetModelBufferPointer(reinterpret_cast<void **>(&potential));
  delete potential;
  return 0;
}

template <class Routine>
void set_routine(KIM::ModelDriverCreate *create, KIM::ModelRoutineName name, Routine *routine) {
  require(!create->SetRoutinePointer(name, KIM::LANGUAGE_NAME::cpp, true,
                                     reinterpret_cast<KIM::Function *>(routine)),
          "a routine");
}

}  // namespace

int model_driver_create(KIM::ModelDriverCreate *const create, KIM::LengthUnit const lengthUnit,
                        KIM::EnergyUnit const energyUnit, KIM::ChargeUnit const chargeUnit,
                        KIM::TemperatureUnit const temperatureUnit, KIM::TimeUnit const timeUnit) {
  return guarded(create, __LINE__, [&] {
    int files = 0;
    create->GetNumberOfParameterFiles(&files);
    if (files != 1) {
      throw nepal::Error(NEPAL_STATUS_INVALID_ARGUMENT,
                         "a model of this driver has one parameter file, a nep.txt; found " +
                             std::to_string(files));
    }
    const std::string *folder = nullptr, *file = nullptr;
    create->GetParameterFileDirectoryName(&folder);
    require(!create->GetParameterFileBasename(0, &file), "the name of the nep.txt");

    // One of nepal's units in the simulator's.
    const auto convert = [&](double length_power, double energy_power) {
      double factor = 1.0;
      require(!KIM::ModelDriverCreate::ConvertUnit(
                  KIM::LENGTH_UNIT::A, KIM::ENERGY_UNIT::eV, KIM::CHARGE_UNIT::e,
                  KIM::TEMPERATURE_UNIT::K, KIM::TIME_UNIT::ps, lengthUnit, energyUnit, chargeUnit,
                  temperatureUnit, timeUnit, length_power, energy_power, 0.0, 0.0, 0.0, &factor),
              "the units");
      return factor;
    };
    auto potential = std::make_unique<Potential>(*folder + "/" + *file, convert(1.0, 0.0),
                                                 convert(0.0, 1.0));
    require(!create->SetUnits(lengthUnit, energyUnit, chargeUnit, temperatureUnit, timeUnit),
            "the units");
    require(!create->SetModelNumbering(KIM::NUMBERING::zeroBased), "counting from zero");
    const std::vector<std::string> elements = potential->model.elements();
    for (std::size_t type = 0; type < elements.size(); ++type) {
      require(!create->SetSpeciesCode(KIM::SpeciesName(elements[type]), static_cast<int>(type)),
              elements[type].c_str());
    }
    create->SetInfluenceDistancePointer(&potential->cutoff);
    create->SetNeighborListPointers(1, &potential->cutoff, &potential->no_neighbors_of_ghosts);
    namespace name = KIM::MODEL_ROUTINE_NAME;
    set_routine(create, name::ComputeArgumentsCreate, compute_arguments_create);
    set_routine(create, name::ComputeArgumentsDestroy, compute_arguments_destroy);
    set_routine(create, name::Compute, compute);
    set_routine(create, name::Destroy, destroy);
    create->SetModelBufferPointer(potential.release());
  });
}

// Callables of all kinds as fragment callbacks: they are called, stop, and throw.
#include <nepal.hpp>

#include <cstdio>
#include <stdexcept>
#include <string>

#define CHECK(condition)                                        \
  if (!(condition)) {                                           \
    std::fprintf(stderr, "callback.cpp:%d: %s\n", __LINE__, #condition); \
    return 2;                                                   \
  }

int main(int argc, char **argv) {
  const std::string data = argc > 1 ? argv[1] : "examples/data";
  nepal::Model model(data + "/nep.txt");
  CHECK(model.elements() == std::vector<std::string>{"Si"});
  const nepal::ActiveSet set(data + "/active_set.nas", model);
  nepal::Calculator first(model, NEPAL_BACKEND_REFERENCE);
  nepal::Calculator calculator = std::move(first);
  CHECK(calculator.backend() == "reference");

  nepal::Structure atoms;
  atoms.cell = {5.4, 0, 0, 0, 5.4, 0, 0, 0, 5.4};
  atoms.periodic = {1, 1, 1};
  atoms.types = {0, 0};
  atoms.positions = {0, 0, 0, 2.4, 0.1, 0};
  nepal_fragment_options_t options = NEPAL_FRAGMENT_OPTIONS_INIT;

  int calls = 0;
  const auto count = [&calls](const nepal::Fragment &fragment) {
    calls += fragment.structure.size() == 2 && fragment.whole;
  };
  calculator.set_active_set(set);
  calculator.set_fragment_callback(options, count);
  calculator.compute(atoms, nepal::forces);
  CHECK(calls == 0);
  const nepal::Results results = calculator.compute(atoms, nepal::grades);
  CHECK(calls == 1 && results.grade.size() == 2 && results.grade[0] > 2.0);
  CHECK(calculator.fragment_counts().delivered == 1 && calculator.fragment_refusal().empty());

  calculator.set_active_set(set);
  calculator.set_fragment_callback(options, [](const nepal_fragment_t &) { return -5; });
  try {
    calculator.compute(atoms, nepal::grades);
    CHECK(false);
  } catch (const nepal::Error &error) {
    CHECK(error.status() == -5);
  }
  calculator.set_fragment_callback(
      options, [](const nepal_fragment_t &) { throw std::domain_error("disk full"); });
  for (int k = 0; k < 2; ++k) {
    try {
      calculator.compute(atoms, nepal::grades);
      CHECK(false);
    } catch (const std::domain_error &error) {
      CHECK(std::string(error.what()) == "disk full");
    }
  }
  calculator.remove_fragment_callback();
  calculator.compute(atoms, nepal::grades);
  try {
    calculator.fragment_counts();
    CHECK(false);
  } catch (const nepal::Error &error) {
    CHECK(error.status() == NEPAL_STATUS_INVALID_ARGUMENT);
  }
  nepal::Structure empty;
  empty.periodic = {1, 1, 1};
  CHECK(calculator.compute(empty, nepal::forces | nepal::grades).energy == 0.0);
  return 0;
}

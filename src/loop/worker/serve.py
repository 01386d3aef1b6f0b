

# Labels asked for one after the other, after labels.py: worker serve WHAT ARGUMENTS.

def serve(name, arguments):
    """Answers each line of standard input, a structure, with a line of labels; both are JSON."""
    from ase import Atoms

    # What calculators print is no answer.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    found = load(name)
    arguments = json.loads(arguments)
    calculator = None if ".py:" in name else found(**arguments)
    for line in sys.stdin:
        asked = json.loads(line)
        try:
            atoms = Atoms(asked["elements"], asked["positions"], cell=asked["cell"], pbc=asked["pbc"])
            if calculator is None:
                labels = returned(found(atoms.copy(), **arguments), atoms)
            else:
                # No answer may depend on what was asked before.
                calculator.reset()
                atoms.calc = calculator
                labels = calculated(atoms)
            answer = {"energy": float(labels["energy"]), "forces": [list(map(float, f)) for f in labels["forces"]]}
            if labels.get("virial") is not None:
                answer["virial"] = list(map(float, labels["virial"]))
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), file=answers, flush=True)

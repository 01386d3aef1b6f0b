

# Exploration by functions, after labels.py: worker explore WHAT RUN, where RUN is a JSON object.

def explore(name, run):
    """Writes the frames that a function yields, each at once, so that a run that is cut short has its part."""
    from types import SimpleNamespace

    from ase.io import read

    run = SimpleNamespace(**json.loads(run))
    atoms = read("start.xyz", format="extxyz")
    try:
        from nepal.ase import Nepal

        atoms.calc = Nepal(run.model, run.active_set)
    except ImportError:
        # A function may have a calculator of its own; nepal grades what it yields.
        atoms.calc = None
    with open("explored.xyz", "w", encoding="utf-8") as out:
        for number, found in enumerate(load(name)(atoms, run)):
            told = {key: found.info[key] for key in ("step", "temperature", "walk") if key in found.info}
            told.setdefault("step", number)
            out.write(frame(found, info=told))
            out.flush()

//! The reference methods that `init` writes a start for.

/// Name on the command line, and the lines of the table `[label]`.
pub const METHODS: [(&str, &str); 9] = [
    (
        "stillinger-weber",
        "kind = \"stillinger-weber\"   # classical silicon, built in\n",
    ),
    (
        "cp2k",
        "\
kind = \"cp2k\"
command = \"cp2k.psmp\"         # or \"mpirun -np 4 cp2k.psmp\" with processes = 4
template = \"insulator\"        # or \"metal\", or a CP2K input of your own with placeholders
cutoff = 400                  # plane waves, Ry; too low a value shows as a net force and is refused
kspacing = 0.4                # largest distance of k-points, 1/Å; without it the Γ point alone
timeout = 3600                # seconds
@EACH@kinds.@E@ = { basis = \"DZVP-MOLOPT-SR-GTH\", potential = \"GTH-PBE\" }
",
    ),
    (
        "qe",
        "\
kind = \"qe\"
command = \"pw.x\"              # or \"mpirun -np 4 pw.x\" with processes = 4
template = \"insulator\"        # or \"metal\", or an input of your own with placeholders
values.ECUTWFC = \"50\"         # plane waves, Ry
kspacing = 0.4                # largest distance of k-points, 1/Å; without it the Γ point alone
timeout = 3600                # seconds
@EACH@pseudopotentials.@E@ = \"@E@.UPF\"   # relative to this file
",
    ),
    (
        "vasp",
        "\
kind = \"vasp\"
command = \"mpirun -np 4 vasp_std\"
processes = 4
version = \"6.4.2\"             # VASP cannot be asked; part of what identifies a label
template = \"insulator\"        # or \"metal\", or an INCAR of your own with placeholders
values.ENCUT = \"500\"          # plane waves, eV
kspacing = 0.4                # largest distance of k-points, 1/Å; without it the Γ point alone
timeout = 3600                # seconds
@EACH@pseudopotentials.@E@ = \"POTCAR.@E@\"   # relative to this file; joined to one POTCAR
",
    ),
    (
        "abinit",
        "\
kind = \"abinit\"
command = \"abinit\"            # or \"mpirun -np 4 abinit\" with processes = 4
template = \"insulator\"        # or \"metal\", or an input of your own with placeholders
values.ECUT = \"30\"            # plane waves, Ha
kspacing = 0.4                # largest distance of k-points, 1/Å; without it the Γ point alone
timeout = 3600                # seconds
@EACH@pseudopotentials.@E@ = \"@E@.psp8\"   # relative to this file
",
    ),
    (
        "ase",
        "\
kind = \"ase\"
python = \"python3\"            # with ASE and the calculator
calculator = \"tblite.ase:TBLite\"   # module:Class of any ASE calculator
arguments = { method = \"GFN1-xTB\", verbosity = 0 }
timeout = 3600                # seconds
",
    ),
    (
        "lammps",
        "\
kind = \"lammps\"
command = \"lmp\"
elements = [@ELEMENTS@]       # in the order of the atom types
files = [\"potential.file\"]    # what the commands read, relative to this file
commands = [\"pair_style tersoff\", \"pair_coeff * * potential.file @SYMBOLS@\"]
",
    ),
    (
        "nep",
        "kind = \"nep\"\nmodel = \"nep.txt\"             # the teacher, such as a foundation model\n",
    ),
    (
        "command",
        "\
kind = \"command\"
command = \"python3 label.py {input} {output}\"   # extended XYZ in, the same with energy and forces out
method = \"what it computes\"   # part of what identifies a label: change it to label again
files = [\"label.py\"]
",
    ),
];

/// The table `[scheduler]` for a place where labels run; empty for this machine.
pub fn scheduler(name: &str) -> &'static str {
    match name {
        "slurm" => {
            "\
# Each label, and each run of LAMMPS or GPUMD, is a job; the driver (`run`, or `step` from cron) submits and collects.
[scheduler]
kind = \"slurm\"
# partition = \"normal\"
# account = \"project\"
# memory = 4000                # MB of a job; without it the partition's default
# minutes = 90                 # of a job; without it the labeller's timeout
lines = [\"# module load cp2k\"]   # at the head of every job script: #SBATCH lines, modules
max_jobs = 1000               # in the queue at once
array = 500                   # most jobs of one submission
poll_seconds = 10             # between two calls of Slurm's commands
# wrapper = \"ssh login\"       # before each of them, where they are not on this machine
# Steps as jobs, each submitted by the one before: `nepal-loop step` once, and the campaign goes on by itself.
# [scheduler.driver]
# cores = 4                    # with `threads = 4` above: training and built-in dynamics run in it
# minutes = 1440
"
        }
        "pbs" => {
            "\
# Each label, and each run of LAMMPS or GPUMD, is a job; the driver (`run`, or `step` from cron) submits and collects.
[scheduler]
kind = \"pbs\"                  # Torque: status = \"qstat -f\"
# partition = \"workq\"          # the queue
# memory = 4000                # MB of a job
# minutes = 90                 # of a job; without it the labeller's timeout
lines = [\"# module load cp2k\"]   # at the head of every job script: #PBS lines, modules
max_jobs = 100                # in the queue at once
poll_seconds = 10             # between two calls of PBS's commands
# wrapper = \"ssh login\"       # before each of them, where they are not on this machine
"
        }
        "lsf" => {
            "\
# Each label, and each run of LAMMPS or GPUMD, is a job; the driver (`run`, or `step` from cron) submits and collects.
[scheduler]
kind = \"lsf\"
# partition = \"normal\"         # the queue
# memory = 4000                # MB of a job
# minutes = 90                 # of a job; without it the labeller's timeout
lines = [\"# module load cp2k\"]   # at the head of every job script: #BSUB lines, modules
max_jobs = 100                # in the queue at once
poll_seconds = 10             # between two calls of LSF's commands
# wrapper = \"ssh login\"       # before each of them, where they are not on this machine
"
        }
        "hyperqueue" => {
            "\
# Each label, and each run of LAMMPS or GPUMD, is a task of HyperQueue, which packs them into allocations: see docs/labels.md.
[scheduler]
kind = \"hyperqueue\"
# server = \"/scratch/hq\"       # folder of the server; without it HQ_SERVER_DIR, or ~/.hq-server
# memory = 4000                # MB of a task, where workers have a resource mem
# minutes = 10                 # of a task; without it the labeller's timeout
lines = [\"# module load xtb\"]    # before every task: modules, export
max_jobs = 20000              # with the server at once
array = 500                   # most tasks of one submission
poll_seconds = 10             # between two questions to the server
# wrapper = \"ssh login\"       # before hq, where it is not on this machine
"
        }
        _ => "",
    }
}

/// The table of a method for some elements; `@SYMBOLS@` and `@ELEMENTS@` are left to the caller.
pub fn table(name: &str, elements: &[String]) -> Option<String> {
    let (_, text) = METHODS.iter().find(|(known, _)| *known == name)?;
    let mut out = String::new();
    for line in text.lines() {
        match line.strip_prefix("@EACH@") {
            Some(each) => {
                for e in elements {
                    out.push_str(&each.replace("@E@", e));
                    out.push('\n');
                }
            }
            None => {
                out.push_str(line);
                out.push('\n');
            }
        }
    }
    Some(out)
}

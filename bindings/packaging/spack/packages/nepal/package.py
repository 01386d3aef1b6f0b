# SPDX-License-Identifier: MIT OR Apache-2.0
"""nepal for Spack, from a clone: spack develop --path /path/to/nepal nepal@main."""

from spack.package import *
from spack_repo.builtin.build_systems.cmake import CMakePackage


class Nepal(CMakePackage):
    """Neuroevolution potentials with extrapolation grades, and active learning of them."""

    license("MIT OR Apache-2.0", checked_by="nepal")

    version("main", branch="main")

    variant("python", default=True, description="the Python package")

    depends_on("rust@1.89:", type="build")
    depends_on("cmake@3.16:", type="build")
    depends_on("gmake", type="build")
    depends_on("c", type="build")

    extends("python@3.9:", when="+python")
    depends_on("py-pip", when="+python", type="build")
    depends_on("py-hatchling@1.25:", when="+python", type="build")
    depends_on("py-numpy@1.22:", when="+python", type=("build", "run"))

    root_cmakelists_dir = "bindings/cmake"

    @run_before("cmake")
    def build_program(self):
        cargo = which("cargo", required=True)
        with working_dir(self.stage.source_path):
            cargo("build", "--release", "--locked", "-p", "nepal", "-p", "nepal-loop")

    def cmake_args(self):
        return [self.define("NEPAL_LIBRARY_DIR", join_path(self.stage.source_path, "target/release"))]

    @run_after("install")
    def install_program(self):
        built = join_path(self.stage.source_path, "target/release")
        mkdirp(self.prefix.bin)
        install(join_path(built, "nepal-loop"), self.prefix.bin)
        if self.spec.satisfies("+python"):
            env["NEPAL_LIBRARY"] = join_path(built, "libnepal.so")
            env["NEPAL_PROGRAM"] = join_path(built, "nepal-loop")
            with working_dir(join_path(self.stage.source_path, "bindings/python")):
                python("-m", "pip", "install", "--no-deps", "--no-build-isolation", "--prefix", self.prefix, ".")

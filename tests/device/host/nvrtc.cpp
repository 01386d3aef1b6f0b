// A stand-in for NVRTC: "compiles for the device" with the host's C++ compiler, through the shim.
// Environment: FAKE_NVRTC_FLAGS, more flags for the compiler. A file whose name has "old" in it does not
// know the stand-in's device. With FAKE_NVRTC_REAL, the file of a real NVRTC, that one makes PTX, and
// ptx.py makes C++ of it: then it is the machine's own code that runs, not the kernels' text.
#include <filesystem>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <dlfcn.h>
#include <fstream>
#include <iterator>
#include <regex>
#include <set>
#include <string>
#include <unistd.h>

struct Program {
    std::string source, log, image;
};

extern "C" int nvrtcVersion(int *major, int *minor);
static bool old() {
    Dl_info info;
    return dladdr((void *)nvrtcVersion, &info) && strstr(info.dli_fname, "old");
}

// What the NVRTC of a file makes of a text: PTX for the stand-in's device, or its log.
static bool real_ptx(const char *file, const std::string &source, std::string &out) {
    void *library = dlopen(file, RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        out = dlerror();
        return false;
    }
    using Handle = void *;
    const auto find = [&](auto type, const char *name) { return reinterpret_cast<decltype(type)>(dlsym(library, name)); };
    const auto create = find((int (*)(Handle *, const char *, const char *, int, const char *const *, const char *const *))nullptr, "nvrtcCreateProgram");
    const auto compile = find((int (*)(Handle, int, const char *const *))nullptr, "nvrtcCompileProgram");
    const auto destroy = find((int (*)(Handle *))nullptr, "nvrtcDestroyProgram");
    const char *options[] = {"--gpu-architecture=compute_90", "--std=c++17"};
    Handle program = nullptr;
    create(&program, source.c_str(), "nepal.cu", 0, nullptr, nullptr);
    const bool done = compile(program, 2, options) == 0;
    const std::string what = done ? "nvrtcGetPTX" : "nvrtcGetProgramLog";
    size_t size = 0;
    find((int (*)(Handle, size_t *))nullptr, (what + "Size").c_str())(program, &size);
    out.resize(size);
    find((int (*)(Handle, char *))nullptr, what.c_str())(program, out.data());
    out.resize(strlen(out.c_str()));
    destroy(&program);
    return done;
}

extern "C" {
int nvrtcVersion(int *major, int *minor) { *major = 12, *minor = 8; return 0; }
int nvrtcGetNumSupportedArchs(int *n) { *n = old() ? 1 : 2; return 0; }
int nvrtcGetSupportedArchs(int *archs) {
    archs[0] = 80;
    if (!old()) archs[1] = 90;
    return 0;
}
int nvrtcCreateProgram(Program **program, const char *source, const char *, int n, const char *const *, const char *const *) {
    if (n != 0) return 3;
    *program = new Program{source, "", ""};
    return 0;
}
int nvrtcDestroyProgram(Program **program) { delete *program; *program = nullptr; return 0; }
int nvrtcCompileProgram(Program *p, int n, const char *const *options) {
    bool arch = false;
    for (int k = 0; k < n; ++k) {
        arch |= strcmp(options[k], "--gpu-architecture=sm_90") == 0;
        if (strncmp(options[k], "--", 2) != 0) return 5;
    }
    if (!arch) return 5;
    std::string folder = std::filesystem::temp_directory_path() / "nepal-nvrtc-XXXXXX";
    if (!mkdtemp(folder.data())) return 1;
    const std::string base = folder, source = base + "/kernels.cpp", library = base + "/kernels.so", log = base + "/log";
    std::string translate;
    if (const char *real = getenv("FAKE_NVRTC_REAL")) {
        std::string text;
        if (!real_ptx(real, p->source, text)) {
            p->log = text;
            return 6;
        }
        std::ofstream(base + "/kernels.ptx") << text;
        translate = "python3 " HOST "/ptx.py < " + base + "/kernels.ptx > " + source + " && ";
    } else {
        std::ofstream out(source);
        out << "#include \"shim.h\"\n" << p->source;
        const std::regex kernel("NEPAL_KERNEL (\\w+)\\(");
        std::set<std::string> names;
        for (std::sregex_iterator at(p->source.begin(), p->source.end(), kernel), end; at != end; ++at) names.insert((*at)[1]);
        for (const auto &name : names) out << "HOST_LAUNCHER(" << name << ")\n";
    }
    const char *more = getenv("FAKE_NVRTC_FLAGS");
    const std::string command = "( " + translate + "c++ -std=c++17 -O1 -march=native -ffp-contract=off -fno-strict-aliasing -fwrapv -fPIC -shared -w -I" HOST " " +
                                (more ? more : "") + " -o " + library + " " + source + " ) > " + log + " 2>&1";
    const int status = system(command.c_str());
    const auto read = [](const std::string &name) {
        std::ifstream in(name, std::ios::binary);
        return std::string(std::istreambuf_iterator<char>(in), {});
    };
    p->log = read(log);
    if (status == 0) {
        const std::string code = read(library);
        const unsigned long long size = code.size();
        p->image = "HOSTCODE" + std::string((const char *)&size, 8) + code;
    }
    if (!getenv("FAKE_NVRTC_KEEP") && system(("rm -r " + base).c_str()) != 0) return 1;
    return status == 0 ? 0 : 6;
}
int nvrtcGetProgramLogSize(Program *p, size_t *n) { *n = p->log.size() + 1; return 0; }
int nvrtcGetProgramLog(Program *p, char *log) { memcpy(log, p->log.c_str(), p->log.size() + 1); return 0; }
int nvrtcGetCUBINSize(Program *p, size_t *n) { *n = p->image.size(); return 0; }
int nvrtcGetCUBIN(Program *p, char *image) { memcpy(image, p->image.data(), p->image.size()); return 0; }
int nvrtcGetPTXSize(Program *, size_t *n) { *n = 0; return 0; }
int nvrtcGetPTX(Program *, char *) { return 0; }
}

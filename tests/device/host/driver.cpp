// A stand-in for the CUDA driver: device memory is the host's, kernels are shared libraries that a
// C++ compiler made. It is strict where the driver is: a context has to be current, addresses have to
// lie in what was allocated, sizes have to be what they are. Pages that nobody may touch lie around each
// allocation. Environment: FAKE_CUDA_DEVICES, FAKE_CUDA_MEMORY (bytes), FAKE_CUDA_VERSION, FAKE_CUDA_LOSE
// (launches until the device is lost), FAKE_CUDA_COUNTS (see ptx.h), FAKE_CUDA_STRICT
// (addresses are those that were allocated here), FAKE_CUDA_LOST_STATUS (what a lost device says),
// FAKE_CUDA_TAKEN (another process has the devices for itself).
#include <filesystem>
#include <atomic>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <dlfcn.h>
#include <map>
#include <mutex>
#include <numeric>
#include <string>
#include <sys/mman.h>
#include <unistd.h>
#include <vector>

namespace {
enum { OK = 0, INVALID = 1, MEMORY = 2, UNINITIALISED = 3, NO_DEVICE = 100, BAD_DEVICE = 101, BAD_IMAGE = 200,
       NO_CONTEXT = 201, BAD_HANDLE = 400, NOT_FOUND = 500, LOST = 700, TAKEN = 46 };

struct Context { int device; int references; };
struct Stream { Context *context; };
struct Module { void *library; std::string file; };

std::mutex lock;
bool started = false;
Context contexts[16];
struct Memory { size_t size; void *pages; size_t mapped; };
std::map<unsigned long long, Memory> blocks;
size_t used = 0;
std::atomic<long> launches{0}, waits{0}, half_waits{0}, handed_over{0};
thread_local std::vector<Context *> current;

long number(const char *name, long otherwise) {
    const char *text = getenv(name);
    return text ? atol(text) : otherwise;
}
size_t memory() { return (size_t)number("FAKE_CUDA_MEMORY", 4l << 30); }
bool lost() {
    const long limit = number("FAKE_CUDA_LOSE", -1);
    return limit >= 0 && launches > limit;
}
int ready() {
    if (!started) return UNINITIALISED;
    if (current.empty()) return NO_CONTEXT;
    return lost() ? (int)number("FAKE_CUDA_LOST_STATUS", LOST) : OK;
}
// What runs, for the report of an access to what nobody allocated.
thread_local void *running = nullptr;
void outside(int, siginfo_t *info, void *) {
    Dl_info kernel = {};
    if (running) dladdr(running, &kernel);
    fprintf(stderr, "the stand-in: %s touches %p, which is not in what was allocated\n",
            kernel.dli_sname ? kernel.dli_sname : "the host", info->si_addr);
    abort();
}
// Memory whose end is that of a page, or whose start is where the driver's would be if lines are counted:
// the page before and the one after are nobody's.
void *guarded(size_t bytes, Memory &memory) {
    const size_t page = (size_t)sysconf(_SC_PAGESIZE), inner = (bytes + page - 1) / page * page;
    const size_t alignment = getenv("FAKE_CUDA_COUNTS") ? page : 32;
    void *pages = mmap(nullptr, inner + 2 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (pages == MAP_FAILED) return nullptr;
    char *start = (char *)pages + page;
    if (mprotect(start, inner, PROT_READ | PROT_WRITE)) return nullptr;
    memory = {bytes, pages, inner + 2 * page};
    return start + (inner - bytes) / alignment * alignment;
}
// Whether the bytes lie in one allocation.
bool inside(unsigned long long p, size_t n) {
    std::lock_guard<std::mutex> guard(lock);
    auto after = blocks.upper_bound(p);
    if (after == blocks.begin()) return false;
    --after;
    return p + n <= after->first + after->second.size;
}
}

extern "C" {
int cuInit(unsigned flags) {
    if (flags != 0) return INVALID;
    if (number("FAKE_CUDA_DEVICES", 2) == 0) return NO_DEVICE;
    started = true;
    struct sigaction action = {};
    action.sa_sigaction = outside, action.sa_flags = SA_SIGINFO;
    sigaction(SIGSEGV, &action, nullptr);
    return OK;
}
int cuDriverGetVersion(int *version) { *version = (int)number("FAKE_CUDA_VERSION", 12080); return OK; }
int cuDeviceGetCount(int *count) { if (!started) return UNINITIALISED; *count = (int)number("FAKE_CUDA_DEVICES", 2); return OK; }
int cuDeviceGet(int *device, int ordinal) {
    if (!started) return UNINITIALISED;
    if (ordinal < 0 || ordinal >= number("FAKE_CUDA_DEVICES", 2)) return BAD_DEVICE;
    *device = ordinal;
    return OK;
}
int cuDeviceGetName(char *name, int n, int device) { snprintf(name, n, "stand-in %d", device); return OK; }
int cuDeviceGetAttribute(int *out, int attribute, int) {
    switch (attribute) {
    case 75: *out = 9; return OK;
    case 76: *out = 0; return OK;
    case 16: *out = 132; return OK;
    case 88: *out = 0; return OK;
    default: return INVALID;
    }
}
int cuDevicePrimaryCtxRetain(void **context, int device) {
    if (!started) return UNINITIALISED;
    if (getenv("FAKE_CUDA_TAKEN")) return TAKEN;
    std::lock_guard<std::mutex> guard(lock);
    contexts[device].device = device;
    ++contexts[device].references;
    *context = &contexts[device];
    return OK;
}
int cuCtxPushCurrent_v2(void *context) {
    auto *c = static_cast<Context *>(context);
    if (!c || c < contexts || c >= contexts + 16 || c->references <= 0) return NO_CONTEXT;
    current.push_back(c);
    return OK;
}
int cuCtxPopCurrent_v2(void **context) {
    if (current.empty()) return NO_CONTEXT;
    *context = current.back();
    current.pop_back();
    return OK;
}
int cuStreamCreate(void **stream, unsigned flags) {
    if (int bad = ready()) return bad;
    if (flags > 1) return INVALID;
    *stream = new Stream{current.back()};
    return OK;
}
int cuStreamDestroy_v2(void *stream) { if (current.empty()) return NO_CONTEXT; delete static_cast<Stream *>(stream); return OK; }
static int on_stream(void *stream) {
    if (int bad = ready()) return bad;
    return stream && static_cast<Stream *>(stream)->context == current.back() ? OK : BAD_HANDLE;
}
// Streams of the caller may be the default one.
static int on_any_stream(void *stream) { return stream ? on_stream(stream) : ready(); }
int cuStreamSynchronize(void *stream) { ++waits; return on_stream(stream); }
int cuMemGetInfo_v2(size_t *free, size_t *total) {
    if (int bad = ready()) return bad;
    *total = memory();
    *free = used < *total ? *total - used : 0;
    return OK;
}
int cuMemAlloc_v2(unsigned long long *out, size_t bytes) {
    if (int bad = ready()) return bad;
    if (bytes == 0) return INVALID;
    std::lock_guard<std::mutex> guard(lock);
    if (used + bytes > memory()) return MEMORY;
    Memory memory;
    void *p = guarded(bytes, memory);
    if (!p) return MEMORY;
    memset(p, 0xff, bytes); // NaN in every precision
    *out = (unsigned long long)p;
    blocks[*out] = memory;
    used += bytes;
    return OK;
}
int cuMemFree_v2(unsigned long long p) {
    if (current.empty()) return NO_CONTEXT;
    std::lock_guard<std::mutex> guard(lock);
    auto found = blocks.find(p);
    if (found == blocks.end()) return INVALID;
    used -= found->second.size;
    munmap(found->second.pages, found->second.mapped);
    blocks.erase(found);
    return OK;
}
// Tests hand over arrays of their own as those of a device, unless FAKE_CUDA_STRICT is set.
int cuPointerGetAttribute(void *out, int attribute, unsigned long long p) {
    if (int bad = ready()) return bad;
    if (attribute != 3 || (getenv("FAKE_CUDA_STRICT") && !inside(p, 1))) return INVALID;
    memcpy(out, &p, sizeof p);
    return OK;
}
int cuMemHostAlloc(void **out, size_t bytes, unsigned flags) {
    if (int bad = ready()) return bad;
    if (bytes == 0 || flags != 0) return INVALID;
    *out = malloc(bytes);
    return *out ? OK : MEMORY;
}
int cuMemFreeHost(void *p) { free(p); return current.empty() ? NO_CONTEXT : OK; }
int cuMemcpyHtoDAsync_v2(unsigned long long to, const void *from, size_t n, void *stream) {
    if (int bad = on_stream(stream)) return bad;
    if (!inside(to, n)) return INVALID;
    memcpy((void *)to, from, n);
    return OK;
}
int cuMemcpyDtoHAsync_v2(void *to, unsigned long long from, size_t n, void *stream) {
    if (int bad = on_stream(stream)) return bad;
    if (!inside(from, n)) return INVALID;
    memcpy(to, (void *)from, n);
    return OK;
}
int cuMemsetD8Async(unsigned long long to, unsigned char x, size_t n, void *stream) {
    if (int bad = on_stream(stream)) return bad;
    if (!inside(to, n)) return INVALID;
    memset((void *)to, x, n);
    return OK;
}
int cuModuleLoadData(void **module, const void *image) {
    if (int bad = ready()) return bad;
    // "HOSTCODE", length, shared library.
    if (memcmp(image, "HOSTCODE", 8) != 0) return BAD_IMAGE;
    unsigned long long n;
    memcpy(&n, (const char *)image + 8, 8);
    std::string file = std::filesystem::temp_directory_path() / "nepal-kernels-XXXXXX";
    const int fd = mkstemp(file.data());
    if (fd < 0 || write(fd, (const char *)image + 16, n) != (ssize_t)n) return BAD_IMAGE;
    close(fd);
    void *library = dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (!library) fprintf(stderr, "%s\n", dlerror());
    unlink(file.c_str());
    if (!library) return BAD_IMAGE;
    *module = new Module{library, file};
    return OK;
}
int cuModuleUnload(void *module) {
    if (current.empty()) return NO_CONTEXT;
    // The library stays, for the addresses in a sanitizer's report.
    delete static_cast<Module *>(module);
    return OK;
}
int cuModuleGetFunction(void **function, void *module, const char *name) {
    if (int bad = ready()) return bad;
    *function = dlsym(static_cast<Module *>(module)->library, ("launch_" + std::string(name)).c_str());
    return *function ? OK : NOT_FOUND;
}
int cuLaunchKernel(void *f, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz,
                   unsigned shared, void *stream, void **parameters, void **extra) {
    if (int bad = on_stream(stream)) return bad;
    if (gx == 0 || gx > 0x7fffffffu || gy != 1 || gz != 1 || bx == 0 || bx > 1024 || by != 1 || bz != 1) return INVALID;
    if (shared > 48 * 1024 || extra) return INVALID;
    const long launch = ++launches;
    if (lost()) return OK; // as a real failure, it shows at the next wait
    const unsigned long total = (unsigned long)gx * bx;
    unsigned long step = total > 2 ? (unsigned long)launch * 2654435761ul % total : 1;
    while (step == 0 || std::gcd(step, total) != 1) ++step;
    running = f;
    reinterpret_cast<void (*)(unsigned, unsigned, unsigned long, void **)>(f)(gx, bx, step, parameters);
    running = nullptr;
    return OK;
}
int cuEventCreate(void **event, unsigned) { *event = new double(-1); return ready(); }
int cuEventDestroy_v2(void *event) { delete static_cast<double *>(event); return OK; }
int cuEventRecord(void *event, void *stream) {
    timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    *static_cast<double *>(event) = now.tv_sec * 1e3 + now.tv_nsec * 1e-6;
    return on_any_stream(stream);
}
int cuEventSynchronize(void *event) {
    ++half_waits;
    return *static_cast<double *>(event) < 0 ? BAD_HANDLE : ready();
}
int cuEventElapsedTime(float *ms, void *start, void *end) {
    const double a = *static_cast<double *>(start), b = *static_cast<double *>(end);
    if (a < 0 || b < 0) return BAD_HANDLE;
    *ms = (float)(b - a);
    return ready();
}
int cuStreamWaitEvent(void *stream, void *event, unsigned flags) {
    if (flags != 0 || *static_cast<double *>(event) < 0) return INVALID;
    if (!stream) ++handed_over;
    return on_any_stream(stream);
}
int cuGetErrorName(int status, const char **name) {
    // As drivers do with what is no status of theirs.
    if (status > 999) return INVALID;
    *name = status == MEMORY ? "CUDA_ERROR_OUT_OF_MEMORY" : status == NO_DEVICE ? "CUDA_ERROR_NO_DEVICE"
          : status == LOST ? "CUDA_ERROR_ILLEGAL_ADDRESS" : "CUDA_ERROR_OF_THE_STAND_IN";
    return OK;
}
// For the tests: how often the host waited for a stream, and for an event of an earlier call.
void fakeCudaWaits(long *stream, long *event) { *stream = waits, *event = half_waits; }
// For the tests: how often the caller's default stream was made to wait for ours.
long fakeCudaHandedOver() { return handed_over; }
// For the tests: bytes allocated and contexts held.
void fakeCudaState(size_t *bytes, long *held) {
    std::lock_guard<std::mutex> guard(lock);
    *bytes = used;
    *held = 0;
    for (auto &c : contexts) *held += c.references;
}
}

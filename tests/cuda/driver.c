/* A stand-in for NVIDIA's driver, for tests on machines without a GPU: memory is the host's, kernels are accepted and never run. What is
 * not here: errors of its own, and every function that CubeCL does not call.
 *   STAND_IN_GPUS=2                 how many there are; 1
 *   STAND_IN_CAPABILITY=6.1,9.0     their compute capabilities, the last for all after it; 9.0
 *   STAND_IN_FAULT=cuLaunchKernel=719   this function gives that error; `crash` and `hang` instead of a number do what they say
 * cc -shared -fPIC -I CUDA/include -o libcuda.so driver.c */
#include <cuda.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))

static CUresult entered(const char *name) {
    const char *fault = getenv("STAND_IN_FAULT");
    size_t length = strlen(name);
    if (!fault || strncmp(fault, name, length) || fault[length] != '=') return CUDA_SUCCESS;
    const char *kind = fault + length + 1;
    if (!strcmp(kind, "crash")) *(volatile int *)0 = 0;
    while (!strcmp(kind, "hang")) pause();
    return (CUresult)atoi(kind);
}

/* A function: its faults first, then what it does. */
#define FUNCTION(name, arguments, ...) \
    EXPORT CUresult CUDAAPI name arguments { \
        CUresult fault = entered(#name); \
        if (fault != CUDA_SUCCESS) return fault; \
        __VA_ARGS__ \
        return CUDA_SUCCESS; \
    }
#define NOTHING(name, arguments) FUNCTION(name, arguments, )

/* Whoever checks a handle wants it to be something. */
static int something;
#define HANDLE(type) ((type)&something)

static int gpus(void) {
    const char *count = getenv("STAND_IN_GPUS");
    return count ? atoi(count) : 1;
}

static void capability(CUdevice device, int *major, int *minor) {
    const char *list = getenv("STAND_IN_CAPABILITY");
    *major = 9, *minor = 0;
    for (int at = 0; list && at <= device; at++) {
        sscanf(list, "%d.%d", major, minor);
        list = strchr(list, ',');
        if (list) list++;
    }
}

FUNCTION(cuInit, (unsigned flags), if (!gpus()) return CUDA_ERROR_NO_DEVICE;)
FUNCTION(cuDriverGetVersion, (int *version), *version = 13000;)
FUNCTION(cuGetErrorName, (CUresult error, const char **name), *name = "CUDA_ERROR";)
EXPORT CUresult CUDAAPI cuGetErrorString(CUresult error, const char **text) {
    static char line[32];
    snprintf(line, sizeof line, "error %d", error);
    *text = line;
    return CUDA_SUCCESS;
}

FUNCTION(cuDeviceGetCount, (int *count), *count = gpus();)
FUNCTION(cuDeviceGet, (CUdevice *device, int number), if (number >= gpus()) return CUDA_ERROR_INVALID_DEVICE; *device = number;)
FUNCTION(cuDeviceGetName, (char *name, int size, CUdevice device), snprintf(name, size, "stand-in %d", device);)
FUNCTION(cuDeviceGetPCIBusId, (char *id, int size, CUdevice device), snprintf(id, size, "0000:%02x:00.0", device + 1);)
FUNCTION(cuDeviceGetUuid, (CUuuid *uuid, CUdevice device), memset(uuid, device, sizeof *uuid);)
FUNCTION(cuDeviceTotalMem, (size_t *bytes, CUdevice device), *bytes = (size_t)16 << 30;)
FUNCTION(cuDeviceGetAttribute, (int *value, CUdevice_attribute which, CUdevice device), {
    int major, minor;
    capability(device, &major, &minor);
    switch (which) { /* an H100's */
    case CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR: *value = major; break;
    case CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR: *value = minor; break;
    case CU_DEVICE_ATTRIBUTE_WARP_SIZE: *value = 32; break;
    case CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT: *value = 132; break;
    case CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_BLOCK: *value = 1024; break;
    case CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_X:
    case CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_Y: *value = 1024; break;
    case CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_Z: *value = 64; break;
    case CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_X: *value = 2147483647; break;
    case CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_Y:
    case CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_Z: *value = 65535; break;
    case CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK: *value = 48 << 10; break;
    case CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN: *value = 227 << 10; break;
    default: *value = 1;
    }
})

FUNCTION(cuDevicePrimaryCtxRetain, (CUcontext *context, CUdevice device), *context = HANDLE(CUcontext);)
NOTHING(cuDevicePrimaryCtxRelease, (CUdevice device))
NOTHING(cuCtxSetCurrent, (CUcontext context))
FUNCTION(cuCtxGetCurrent, (CUcontext *context), *context = HANDLE(CUcontext);)
FUNCTION(cuCtxGetStreamPriorityRange, (int *least, int *greatest), *least = 0; *greatest = -5;)
NOTHING(cuCtxSynchronize, (void))

FUNCTION(cuStreamCreate, (CUstream *stream, unsigned flags), *stream = HANDLE(CUstream);)
FUNCTION(cuStreamCreateWithPriority, (CUstream *stream, unsigned flags, int priority), *stream = HANDLE(CUstream);)
NOTHING(cuStreamDestroy, (CUstream stream))
NOTHING(cuStreamSynchronize, (CUstream stream))
NOTHING(cuStreamQuery, (CUstream stream))
NOTHING(cuStreamWaitEvent, (CUstream stream, CUevent event, unsigned flags))
/* An event keeps the host's time. */
FUNCTION(cuEventCreate, (CUevent *event, unsigned flags), *event = malloc(sizeof(struct timespec));)
NOTHING(cuEventDestroy, (CUevent event)) /* a few bytes, in a process that ends soon */
FUNCTION(cuEventRecord, (CUevent event, CUstream stream), clock_gettime(CLOCK_MONOTONIC, (struct timespec *)event);)
NOTHING(cuEventSynchronize, (CUevent event))
NOTHING(cuEventQuery, (CUevent event))
FUNCTION(cuEventElapsedTime, (float *milliseconds, CUevent start, CUevent end), {
    const struct timespec *from = (struct timespec *)start;
    const struct timespec *to = (struct timespec *)end;
    *milliseconds = (to->tv_sec - from->tv_sec) * 1e3f + (to->tv_nsec - from->tv_nsec) / 1e6f;
})

FUNCTION(cuMemGetInfo, (size_t *unused, size_t *total), *unused = *total = (size_t)16 << 30;)
FUNCTION(cuMemAlloc, (CUdeviceptr *memory, size_t bytes), if (!(*memory = (CUdeviceptr)calloc(1, bytes))) return CUDA_ERROR_OUT_OF_MEMORY;)
FUNCTION(cuMemAllocAsync, (CUdeviceptr *memory, size_t bytes, CUstream stream), return cuMemAlloc(memory, bytes);)
FUNCTION(cuMemAllocHost, (void **memory, size_t bytes), if (!(*memory = calloc(1, bytes))) return CUDA_ERROR_OUT_OF_MEMORY;)
FUNCTION(cuMemFree, (CUdeviceptr memory), free((void *)memory);)
FUNCTION(cuMemFreeAsync, (CUdeviceptr memory, CUstream stream), free((void *)memory);)
FUNCTION(cuMemFreeHost, (void *memory), free(memory);)
FUNCTION(cuMemcpyHtoDAsync, (CUdeviceptr to, const void *from, size_t bytes, CUstream stream), memcpy((void *)to, from, bytes);)
FUNCTION(cuMemcpyDtoHAsync, (void *to, CUdeviceptr from, size_t bytes, CUstream stream), memcpy(to, (void *)from, bytes);)
FUNCTION(cuMemcpyDtoDAsync, (CUdeviceptr to, CUdeviceptr from, size_t bytes, CUstream stream), memmove((void *)to, (void *)from, bytes);)
FUNCTION(cuMemcpy2DAsync, (const CUDA_MEMCPY2D *copy, CUstream stream), {
    const char *from = copy->srcMemoryType == CU_MEMORYTYPE_HOST ? copy->srcHost : (const char *)copy->srcDevice;
    char *to = copy->dstMemoryType == CU_MEMORYTYPE_HOST ? copy->dstHost : (char *)copy->dstDevice;
    for (size_t row = 0; row < copy->Height; row++)
        memcpy(to + row * copy->dstPitch, from + row * copy->srcPitch, copy->WidthInBytes);
})
NOTHING(cuMemsetD8Async, (CUdeviceptr memory, unsigned char value, size_t bytes, CUstream stream))

FUNCTION(cuModuleLoadData, (CUmodule *module, const void *image), *module = HANDLE(CUmodule);)
NOTHING(cuModuleUnload, (CUmodule module))
/* CubeCL measures a card's peaks by the clock, with ever more work a launch until that takes 20 ms; its count overflows where nothing does. */
static int throughput;
FUNCTION(cuModuleGetFunction, (CUfunction *function, CUmodule module, const char *name), {
    *function = strstr(name, "throughput") ? (CUfunction)&throughput : HANDLE(CUfunction);
})
NOTHING(cuFuncSetAttribute, (CUfunction function, CUfunction_attribute which, int value))
FUNCTION(cuLaunchKernel, (CUfunction function, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x, unsigned block_y,
    unsigned block_z, unsigned shared, CUstream stream, void **parameters, void **extra),
    if (function == (CUfunction)&throughput) usleep(20000);)
NOTHING(cuTensorMapEncodeTiled, (CUtensorMap *map, CUtensorMapDataType type, cuuint32_t rank, void *address, const cuuint64_t *size,
    const cuuint64_t *strides, const cuuint32_t *box, const cuuint32_t *steps, CUtensorMapInterleave interleave, CUtensorMapSwizzle swizzle,
    CUtensorMapL2promotion promotion, CUtensorMapFloatOOBfill fill))

/* Graphs: what is captured is launched at once instead, and counts as one node. */
NOTHING(cuStreamBeginCapture, (CUstream stream, CUstreamCaptureMode mode))
FUNCTION(cuStreamEndCapture, (CUstream stream, CUgraph *graph), *graph = HANDLE(CUgraph);)
FUNCTION(cuGraphInstantiateWithFlags, (CUgraphExec *exec, CUgraph graph, unsigned long long flags), *exec = HANDLE(CUgraphExec);)
FUNCTION(cuGraphGetNodes, (CUgraph graph, CUgraphNode *nodes, size_t *count), if (nodes && *count) nodes[0] = HANDLE(CUgraphNode); *count = 1;)
FUNCTION(cuGraphNodeGetType, (CUgraphNode node, CUgraphNodeType *type), *type = CU_GRAPH_NODE_TYPE_KERNEL;)
NOTHING(cuGraphUpload, (CUgraphExec exec, CUstream stream))
NOTHING(cuGraphLaunch, (CUgraphExec exec, CUstream stream))
NOTHING(cuGraphDestroy, (CUgraph graph))
NOTHING(cuGraphExecDestroy, (CUgraphExec exec))

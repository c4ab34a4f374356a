# Read by CMake as a toolchain file, before SEAL's own options: without these three its build clones
# repositories. They only concern compression and span bounds checks, not the cryptography.
set(SEAL_USE_MSGSL OFF CACHE BOOL "" FORCE)
set(SEAL_USE_ZLIB OFF CACHE BOOL "" FORCE)
set(SEAL_USE_ZSTD OFF CACHE BOOL "" FORCE)

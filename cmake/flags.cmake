# One interface target carries the language and the warnings; nothing is set globally but the sanitizer, which must
# reach every object.
add_library(ratchet_flags INTERFACE)
target_compile_features(ratchet_flags INTERFACE cxx_std_20)
target_include_directories(ratchet_flags INTERFACE ${PROJECT_SOURCE_DIR})
target_compile_definitions(ratchet_flags INTERFACE RATCHET_VERSION="${PROJECT_VERSION}")
# Assertions stay in what is shipped: a bug ends the process, and systemd starts it anew.
target_compile_options(ratchet_flags INTERFACE -UNDEBUG
  -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wsign-conversion -Wcast-qual -Wformat=2 -Wundef -Wnull-dereference
  -Wdouble-promotion -Wimplicit-fallthrough -Wextra-semi -Woverloaded-virtual -Wnon-virtual-dtor -Wold-style-cast
  $<$<CXX_COMPILER_ID:GNU>:-Wduplicated-cond -Wlogical-op>
  $<$<BOOL:${RATCHET_WERROR}>:-Werror>)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)

if(RATCHET_SANITIZE)
  add_compile_options(-fsanitize=${RATCHET_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${RATCHET_SANITIZE})
  # GCC warns falsely about code that a sanitizer has instrumented (its manual says so of these two, and TSan knows no
  # fences); the plain builds keep these warnings.
  target_compile_options(ratchet_flags INTERFACE $<$<CXX_COMPILER_ID:GNU>:-Wno-maybe-uninitialized -Wno-null-dereference -Wno-tsan>)
endif()

find_program(RATCHET_CCACHE ccache)
if(RATCHET_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${RATCHET_CCACHE})
endif()

# ratchet_folder(NAME SOURCES ... USES ...): the static library of one folder of the tree.
function(ratchet_folder name)
  cmake_parse_arguments(F "" "" "SOURCES;USES" ${ARGN})
  add_library(${name} STATIC ${F_SOURCES})
  target_link_libraries(${name} PUBLIC ratchet_flags ${F_USES} Threads::Threads)
endfunction()

# ratchet_tests(NAME SOURCES ... USES ... [LABELS ...]): one Catch2 program; every TEST_CASE becomes one ctest.
# The labels `postgres` and `kafka` mark programs that start those servers.
function(ratchet_tests name)
  cmake_parse_arguments(T "" "" "SOURCES;USES;LABELS" ${ARGN})
  add_executable(${name} ${T_SOURCES})
  target_link_libraries(${name} PRIVATE ratchet_catch ${T_USES})
  catch_discover_tests(${name} TEST_PREFIX "${name}: " PROPERTIES TIMEOUT 300 LABELS "${T_LABELS}")
endfunction()

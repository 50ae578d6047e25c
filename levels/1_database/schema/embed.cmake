# The migrations become C++ source, so that the program carries its own schema.
# cmake -DSQL_FOLDER=... -DOUTPUT=... -P embed.cmake
file(GLOB files ${SQL_FOLDER}/[0-9][0-9][0-9][0-9]_*.sql)
list(SORT files)
set(rows)
set(expected 1)
foreach(file ${files})
  get_filename_component(stem ${file} NAME_WE)
  string(REGEX MATCH "^0*([0-9]+)_(.+)$" matched ${stem})
  if(NOT CMAKE_MATCH_1 EQUAL expected)
    message(FATAL_ERROR "migrations are numbered without gaps: expected ${expected}, found ${stem}")
  endif()
  math(EXPR expected "${expected} + 1")
  set(version ${CMAKE_MATCH_1})
  set(name ${CMAKE_MATCH_2})
  file(READ ${file} sql)
  string(APPEND rows "    {${version}, \"${name}\", R\"ratchet_sql(${sql})ratchet_sql\"},\n")
endforeach()
file(WRITE ${OUTPUT}.new "// Made from schema/*.sql.
#include \"levels/1_database/schema.hpp\"

namespace ratchet::db {

const std::vector<Migration>& migrations() {
  static const std::vector<Migration> all = {
${rows}  };
  return all;
}

}  // namespace ratchet::db
")
file(RENAME ${OUTPUT}.new ${OUTPUT})

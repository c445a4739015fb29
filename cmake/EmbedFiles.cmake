# Turns the files of the chat page into a C++ source, for -P:
#
#   cmake -DROOT=web -DOUTPUT=web_data.cc -P EmbedFiles.cmake
#
# Style sheets become one, style.css, in the order of their names; so do modules, app.js; all else stays as it is. The
# source defines phalanx::web::Files() of coordinator/web/web_files.h. Each file's tag is the beginning of its SHA-256.
include(${CMAKE_CURRENT_LIST_DIR}/JoinModules.cmake)

set(joined ${OUTPUT}.d)
file(GLOB sheets ${ROOT}/*.css)
set(style "")
foreach(sheet IN LISTS sheets)
  file(READ ${sheet} text)
  string(APPEND style "${text}")
endforeach()
file(WRITE ${joined}/style.css "${style}")

file(GLOB modules RELATIVE ${ROOT} ${ROOT}/*.js)
list(REMOVE_ITEM modules theme.js app.js)
list(TRANSFORM modules REPLACE "[.]js$" "")
join_modules(ROOT ${ROOT} NAMES ${modules} app OUTPUT ${joined}/app.js)

set(data "")
set(rows "")
set(index 0)
foreach(file ${joined}/app.js ${ROOT}/icon.svg ${ROOT}/index.html ${joined}/style.css ${ROOT}/theme.js)
  get_filename_component(name ${file} NAME)
  file(READ ${file} hex HEX)
  file(SHA256 ${file} hash)
  string(SUBSTRING "${hash}" 0 16 tag)
  string(LENGTH "${hex}" num_digits)
  math(EXPR num_bytes "${num_digits} / 2")
  # Lines of 32 bytes; the compiler joins the literals.
  string(REGEX REPLACE "([0-9a-f][0-9a-f])" "\\\\x\\1" text "${hex}")
  string(REPEAT "...." 32 line)
  string(REGEX REPLACE "(${line})" "\\1\"\n    \"" text "${text}")
  string(APPEND data "constexpr char kFile${index}[] =\n    \"${text}\";\n")
  string(APPEND rows "    {\"${name}\", \"\\\"${tag}\\\"\", {kFile${index}, ${num_bytes}}},\n")
  math(EXPR index "${index} + 1")
endforeach()
file(WRITE ${OUTPUT} "// Made by cmake/EmbedFiles.cmake.
#include \"coordinator/web/web_files.h\"

namespace phalanx::web {
namespace {

${data}
constexpr File kFiles[] = {
${rows}};

}  // namespace

std::span<const File> Files() { return kFiles; }

}  // namespace phalanx::web
")

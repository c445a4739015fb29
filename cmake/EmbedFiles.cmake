# Turns files into a C++ source, for -P:
#
#   cmake -DOUTPUT=web_data.cc -DROOT=DIR -DFILES=a.html;b.css -P EmbedFiles.cmake
#
# The source defines phalanx::web::Files() of coordinator/web/web_files.h, sorted by path. Each file's tag is the
# beginning of its SHA-256.
set(data "")
set(rows "")
list(SORT FILES)
set(index 0)
foreach(name IN LISTS FILES)
  file(READ "${ROOT}/${name}" hex HEX)
  file(SHA256 "${ROOT}/${name}" hash)
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
file(WRITE "${OUTPUT}" "// Made by cmake/EmbedFiles.cmake.
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

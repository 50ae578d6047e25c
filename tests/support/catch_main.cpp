#if __has_include(<catch2/catch.hpp>)
#define CATCH_CONFIG_MAIN
#include <catch2/catch.hpp>
#else
namespace ratchet::tests {
int catch_brings_its_own_main = 3;
}
#endif

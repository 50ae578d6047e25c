// Catch2 2 (Debian 12) or 3 (Debian 13), one name for both.
#pragma once

#if __has_include(<catch2/catch.hpp>)
#include <catch2/catch.hpp>
#else
#include <catch2/catch_all.hpp>
using Catch::Approx;  // NOLINT: version 2 has it global
#endif

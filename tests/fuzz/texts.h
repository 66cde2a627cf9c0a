#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <list>
#include <string_view>

#include "expect_input_error.h"
#include "files/files.h"

/// Several files in one input of a fuzz target, with a record separator (0x1e) between them; one that begins like gzip
/// data is unpacked. Files that the input lacks are empty.
template <std::size_t N>
class Texts {
 public:
  Texts(const std::uint8_t* data, std::size_t size) {
    constexpr std::size_t kMaxUnpacked = std::size_t{1} << 20;
    std::string_view rest(reinterpret_cast<const char*>(data), size);
    for (std::string_view& text : texts_) {
      text = rest.substr(0, rest.find('\x1e'));
      rest.remove_prefix(std::min(rest.size(), text.size() + 1));
      if (!text.starts_with("\x1f\x8b")) continue;
      const std::string_view packed = text;
      text = {};
      expect_input_error(
          [&] { text = unpacked_.emplace_back(starling::files::unpack(packed, "x.gz", kMaxUnpacked)).text(); });
    }
  }

  std::string_view operator[](std::size_t i) const { return texts_[i]; }

 private:
  std::array<std::string_view, N> texts_;
  std::list<starling::files::Bytes> unpacked_;
};

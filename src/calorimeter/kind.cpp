#include <cstdlib>
#include <limits>

#include "starling/calorimeter.h"

namespace starling {
namespace {

// Three times the charge of the quark that a digit of a PDG code names: d, u, s, c, b, t; 0 for any other digit.
int quark_charge(int digit) {
  if (digit < 1 || digit > 6) return 0;
  return digit % 2 == 0 ? 2 : -1;
}

bool is_charged_hadron(int code) {
  constexpr int kNuclei = 1000000000;  // 10LZZZAAAI
  if (code >= kNuclei) return code / 10000 % 1000 != 0;
  const int q1 = code / 1000 % 10, q2 = code / 100 % 10, q3 = code / 10 % 10;
  if (q1 == 0) return quark_charge(q2) != quark_charge(q3);  // a meson: a quark and an antiquark
  return quark_charge(q1) + quark_charge(q2) + quark_charge(q3) != 0;
}

}  // namespace

std::optional<ShowerKind> shower_kind(std::int32_t pdg) {
  if (pdg == std::numeric_limits<std::int32_t>::min()) return std::nullopt;
  const int code = std::abs(pdg);
  if (code == 22 || code == 11) return ShowerKind::electromagnetic;
  if (code == 13) return ShowerKind::muon;
  if (code <= 100) return std::nullopt;  // other leptons, quarks, bosons
  return is_charged_hadron(code) ? ShowerKind::charged_hadron : ShowerKind::neutral_hadron;
}

std::string to_string(ShowerKind kind) {
  switch (kind) {
    case ShowerKind::electromagnetic:
      return "electromagnetic";
    case ShowerKind::charged_hadron:
      return "charged_hadron";
    case ShowerKind::neutral_hadron:
      return "neutral_hadron";
    case ShowerKind::muon:
      return "muon";
  }
  return "unknown";
}

}  // namespace starling

#include "showers/settings.h"

#include <cmath>
#include <type_traits>

#include "numbers/numbers.h"
#include "starling/error.h"

namespace starling {
namespace showers {
namespace {

// Calls use(key, value, least, most) for every number; least and most are of the value's type, doubles for a range.
template <class Settings, class Use>
void for_each_setting(Settings& settings, const Use& use) {
  use("showers", settings.showers, 0., 1000.);
  use("grouped", settings.grouped, 0., 1.);
  use("group_size", settings.group_size, 1, 1000);
  use("group_spread", settings.group_spread, 0., 10.);
  use("separation", settings.separation, 0., 10.);
  use("min_energy", settings.min_energy, 0.05, 7000.);
  use("max_energy", settings.max_energy, 0.05, 7000.);
  use("min_eta", settings.min_eta, 0.5, 6.);
  use("max_eta", settings.max_eta, 0.5, 6.);
  use("photons", settings.photons, 0., 1000.);
  use("electrons", settings.electrons, 0., 1000.);
  use("charged_hadrons", settings.charged_hadrons, 0., 1000.);
  use("neutral_hadrons", settings.neutral_hadrons, 0., 1000.);
  use("muons", settings.muons, 0., 1000.);
  use("endcaps", settings.endcaps, 1, 2);
  use("max_abs_phi", settings.max_abs_phi, 0., std::numbers::pi);
  use("pileup", settings.pileup, 0., 1000.);
  use("vertex_sigma_z", settings.vertex_sigma_z, 0., 1000.);
  use("vertex_sigma_time", settings.vertex_sigma_time, 0., 100.);
  use("pileup_charged", settings.pileup_charged, 0., 1000.);
  use("pileup_photons", settings.pileup_photons, 0., 1000.);
  use("pileup_neutral", settings.pileup_neutral, 0., 1000.);
  use("pileup_min_eta", settings.pileup_min_eta, 0.5, 6.);
  use("pileup_max_eta", settings.pileup_max_eta, 0.5, 6.);
  use("pileup_hadron_pt", settings.pileup_hadron_pt, 0., 100.);
  use("pileup_photon_pt", settings.pileup_photon_pt, 0., 100.);
  use("pileup_tail", settings.pileup_tail, 0., 1.);
  use("pileup_tail_power", settings.pileup_tail_power, 2., 50.);
  use("min_hits", settings.min_hits, 1, 1'000'000);
  use("min_visible", settings.min_visible, 0., 7000.);
  use("min_pileup_visible", settings.min_pileup_visible, 0., 7000.);
  use("noise", settings.noise, 0., 100.);
}

}  // namespace
}  // namespace showers

ShowerSettings read_shower_settings(Config& config) {
  ShowerSettings settings;
  showers::for_each_setting(settings, [&](const char* key, auto& value, auto least, auto most) {
    config.get(std::string("showers.") + key, value, least, most);
  });
  config.get("showers.seed", settings.seed);
  showers::check_settings(settings, config.name() + ": ");
  return settings;
}

namespace showers {

void check_settings(const ShowerSettings& settings, const std::string& where) {
  const auto refuse = [&](const char* key, double value, const std::string& expected) {
    throw Error(ErrorKind::usage,
                where + "showers." + key + " = " + numbers::to_text(value) + ": expected " + expected);
  };
  for_each_setting(settings, [&](const char* key, const auto& value, auto least, auto most) {
    if constexpr (std::is_same_v<std::decay_t<decltype(value)>, Range>) {
      for (const double end : {value.low, value.high}) {
        if (!(end >= least && end <= most)) refuse(key, end, numbers::range("a number", least, most));
      }
      if (value.low > value.high) refuse(key, value.low, "at most the other end, " + numbers::to_text(value.high));
    } else if (!(value >= least && value <= most)) {
      refuse(key, value, numbers::range("a number", least, most));
    }
  });
  for (const double end : {settings.showers.low, settings.showers.high}) {
    if (end != std::floor(end)) refuse("showers", end, "a whole number");
  }
  const auto ordered = [&](const char* key, double low, double high) {
    if (low > high) refuse(key, low, "at most " + numbers::to_text(high) + ", the highest");
  };
  ordered("min_energy", settings.min_energy, settings.max_energy);
  ordered("min_eta", settings.min_eta, settings.max_eta);
  ordered("pileup_min_eta", settings.pileup_min_eta, settings.pileup_max_eta);
  const double shares =
      settings.photons + settings.electrons + settings.charged_hadrons + settings.neutral_hadrons + settings.muons;
  if (shares <= 0) refuse("photons", settings.photons, "a share above 0 of at least one kind of particle");
}

}  // namespace showers
}  // namespace starling

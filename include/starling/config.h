#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace starling {

/// A number that may be drawn anew for each event: uniformly from `low` to `high`.
struct Range {
  double low = 0, high = 0;

  constexpr Range() = default;
  constexpr Range(double value) : low(value), high(value) {}  // implicit: a number is a range of its own
  constexpr Range(double lowest, double highest) : low(lowest), high(highest) {}
  bool operator==(const Range&) const = default;
};

/// A TOML file read strictly: every key must be asked for, every value must have the asked type and range.
/// Errors are ErrorKind::usage and name the file, line, key, value and what was expected. A moved-from object can only
/// be assigned to or destroyed: every other call throws ErrorKind::usage.
class Config {
 public:
  static Config load(const std::filesystem::path& file);
  static Config parse(std::string_view text, std::string name = "(text)");

  Config(Config&&) noexcept;
  Config& operator=(Config&&) noexcept;
  ~Config();

  /// Overrides from a command line, "section.key=value" with a TOML value (a bare word is taken as a string).
  void set(std::string_view assignment);

  // Each getter takes a dotted key ("training.epochs"), marks it as known, and leaves `value` as it is where the key is
  // absent: so the C++ default is the default. The bounds are inclusive.
  void get(std::string_view key, bool& value);
  void get(std::string_view key, int& value, int low, int high);
  void get(std::string_view key, std::uint64_t& value);
  void get(std::string_view key, double& value, double low, double high);
  void get(std::string_view key, float& value, double low, double high);
  /// A number, or [low, high].
  void get(std::string_view key, Range& value, double low, double high);
  void get(std::string_view key, std::string& value, const std::vector<std::string>& choices = {});
  void get(std::string_view key, std::vector<double>& value, double low, double high);
  void get(std::string_view key, std::vector<std::string>& value);

  /// The number of entries of an array of tables ("layer"): entry i is then read with keys "layer[i].radius".
  int table_count(std::string_view key) const;

  /// A value that is read without knowing its key or its type.
  struct Entry {
    std::string key;                  ///< behind the section's name: "network.hidden"
    std::string value;                ///< as TOML, as set() takes it
    bool is_list = false;             ///< `value` is an array
    std::vector<std::string> values;  ///< of its entries, each as TOML
    std::string where;                ///< for messages: "run.toml:12: sweep.network.hidden = [16]"
  };
  /// All values of a section and of the sections in it, in the order of the file; those of the command line come last.
  /// Marks the keys as known. Arrays of tables and quoted keys with dots are errors.
  std::vector<Entry> entries(std::string_view section);

  bool has_section(std::string_view section) const;

  /// Whether the file or the command line says anything about a dotted key.
  bool has(std::string_view key) const;

  /// Forgets a section that another command reads.
  void leave_to_others(std::string_view section);

  /// Throws for the first key that no getter asked for, naming the nearest known one.
  void finish() const;

  /// Every value that the getters settled on, defaults included, as TOML text: what is stored beside an output.
  std::string resolved() const;

  /// The file's name, for messages.
  const std::string& name() const;

 private:
  struct State;
  explicit Config(std::unique_ptr<State> state);
  State& state() const;  // throws where this was moved from
  std::unique_ptr<State> state_;
};

/// Of a configuration that resolved() gave, the values whose dotted key ("training.epochs") `keep` takes, in the same
/// form. Throws ErrorKind::usage for text that is not TOML.
std::string select_keys(std::string_view resolved, const std::function<bool(std::string_view key)>& keep);

}  // namespace starling

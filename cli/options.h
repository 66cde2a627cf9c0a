#pragma once

#include <deque>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "numbers/numbers.h"
#include "starling/config.h"

namespace starling::cli {

/// One option ("--seed N") or positional argument ("EVENT").
struct Option {
  std::string name, kind, what, initial;  ///< kind: of its value, empty for a flag; initial: the default, for --help
  /// Takes a value; returns what was expected instead where it is none ("a number from 0 to 1"), else nothing.
  std::function<std::string(const std::string& value)> take;
  bool many = false, needed = false, given = false;
  std::vector<std::string> excluded = {};

  Option& required() {
    needed = true;
    return *this;
  }
  /// What --help says of the default where the variable does not.
  Option& by_default(std::string text) {
    initial = std::move(text);
    return *this;
  }
  /// Options that have no meaning beside this one.
  Option& excludes(std::vector<std::string> names) {
    excluded = std::move(names);
    return *this;
  }
};

/// The options of a command, as it declares them: each fills a variable, which keeps its value where the option is
/// absent. A name without dashes is a positional argument. --help lists them in this order.
class Options {
 public:
  Option& flag(std::string name, bool& value, std::string what);
  Option& text(std::string name, std::string& value, std::string what, std::vector<std::string> choices = {});
  Option& text(std::string name, std::optional<std::string>& value, std::string what, std::vector<std::string> choices);
  Option& path(std::string name, std::string kind, std::filesystem::path& value, std::string what);
  /// May be given several times.
  Option& texts(std::string name, std::string kind, std::vector<std::string>& values, std::string what);
  /// May be given several times.
  Option& paths(std::string name, std::string kind, std::vector<std::filesystem::path>& values, std::string what);

  /// A decimal number in [low, high]. `Value` is a number or an optional one.
  template <class Value, class Number>
  Option& number(std::string name, Value& value, Number low, Number high, std::string what);

  /// A number in [low, high], or two of them, "0..200".
  Option& range(std::string name, std::optional<Range>& value, double low, double high, std::string what);

  /// --threads N. The command runs on so many threads; without this, on the thread that starts it.
  void threads();
  /// The threads asked for, 0 = one per processor; nothing where the command did not call threads().
  std::optional<int> threads_given() const { return threads_; }

  /// Every word behind the command goes into `words` as it is, --help included.
  void take_all(std::vector<std::string>& words) { all_words_ = &words; }

  /// Fills the variables. False where --help was asked for. Throws ErrorKind::usage: "--seed = 1.5: expected …".
  bool parse(const std::vector<std::string>& words);

  /// Throws ErrorKind::usage where one of these options was given: "--matching: has no meaning <where>".
  void refuse_given(const std::vector<std::string>& names, const std::string& where) const;

  /// The usage line and a paragraph for each option; `command` is what to type ("starling graph").
  std::string help(const std::string& command) const;

 private:
  Option& add(Option option);
  Option* find(const std::string& name);
  Option* next_positional();
  static void give(Option& option, const std::string& value);
  void check_given() const;

  std::deque<Option> options_;  ///< whose places stay
  std::optional<int> threads_;
  std::vector<std::string>* all_words_ = nullptr;
};

/// ", did you mean graph?" where one of the names is near enough to the word, else nothing.
std::string did_you_mean(const std::string& word, const std::vector<std::string>& names);

template <class Value, class Number>
Option& Options::number(std::string name, Value& value, Number low, Number high, std::string what) {
  std::string initial;
  if constexpr (std::is_same_v<Value, Number>) initial = numbers::to_text(value);
  static constexpr bool kInteger = std::is_integral_v<Number>;
  return add({std::move(name), kInteger ? "N" : "X", std::move(what), std::move(initial),
              [&value, low, high](const std::string& text) -> std::string {
                const std::optional<Number> parsed = numbers::parse<Number>(text);
                if (kInteger && !parsed && !text.empty() && text.find_first_not_of("0123456789") == text.npos) {
                  return "an integer of at most " + numbers::to_text(high);  // the end of its type
                }
                if (!parsed || *parsed < low || *parsed > high) {
                  return numbers::range(kInteger ? "an integer" : "a number", low, high);
                }
                value = *parsed;
                return "";
              }});
}

}  // namespace starling::cli

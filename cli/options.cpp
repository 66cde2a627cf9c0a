#include "options.h"

#include <algorithm>

#include "config/spelling.h"
#include "files/files.h"
#include "starling/error.h"

namespace starling::cli {
namespace {

constexpr std::size_t kHelpIndent = 26, kHelpWidth = 100;  // columns

[[noreturn]] void fail(const std::string& message) { throw Error(ErrorKind::usage, message); }

bool is_positional(const Option& option) { return !option.name.starts_with('-'); }

std::string joined(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "" : ", ") + name;
  return text;
}

// "  --seed N" and its description beside it, in lines of at most kHelpWidth columns.
std::string paragraph(std::string line, const std::string& description) {
  std::string text;
  line = "  " + line;
  if (line.size() + 2 > kHelpIndent) {
    text = line + '\n';
    line.clear();
  }
  line.resize(kHelpIndent, ' ');
  std::size_t columns = kHelpIndent;
  for (std::size_t begin = 0; begin < description.size();) {
    const std::size_t end = std::min(description.find(' ', begin), description.size());
    const std::string word = description.substr(begin, end - begin);
    if (columns + 1 + word.size() > kHelpWidth && columns > kHelpIndent) {
      text += line + '\n';
      line.assign(kHelpIndent, ' ');
      columns = kHelpIndent;
    }
    if (columns > kHelpIndent) line += ' ';
    line += word;
    columns += word.size() + 1;
    begin = end + 1;
  }
  return text + line + '\n';
}

std::string title(const Option& option) {
  std::string text = option.name;
  if (is_positional(option)) return option.many ? text + "..." : text;
  return option.kind.empty() ? text : text + ' ' + option.kind;
}

}  // namespace

std::string did_you_mean(const std::string& word, const std::vector<std::string>& names) {
  const auto nearest = std::min_element(names.begin(), names.end(), [&](const auto& a, const auto& b) {
    return edit_distance(word, a) < edit_distance(word, b);
  });
  if (nearest == names.end() || edit_distance(word, *nearest) > 1 + word.size() / 3) return "";
  return ", did you mean " + *nearest + "?";
}

Option& Options::add(Option option) { return options_.emplace_back(std::move(option)); }

Option& Options::flag(std::string name, bool& value, std::string what) {
  return add({std::move(name), "", std::move(what), "", [&value](const std::string&) {
                value = true;
                return std::string();
              }});
}

namespace {

template <class Value>
auto take_text(Value& value, std::vector<std::string> choices) {
  return [&value, choices = std::move(choices)](const std::string& text) -> std::string {
    if (!choices.empty() && std::find(choices.begin(), choices.end(), text) == choices.end()) {
      return (choices.size() == 1 ? "" : "one of ") + joined(choices);
    }
    value = text;
    return "";
  };
}

std::string with_choices(std::string what, const std::vector<std::string>& choices) {
  if (!choices.empty()) what += (what.empty() ? "" : ": ") + joined(choices);
  return what;
}

}  // namespace

Option& Options::text(std::string name, std::string& value, std::string what, std::vector<std::string> choices) {
  what = with_choices(std::move(what), choices);
  return add({std::move(name), "NAME", std::move(what), value, take_text(value, std::move(choices))});
}

Option& Options::text(std::string name, std::optional<std::string>& value, std::string what,
                      std::vector<std::string> choices) {
  what = with_choices(std::move(what), choices);
  return add({std::move(name), "NAME", std::move(what), "", take_text(value, std::move(choices))});
}

Option& Options::path(std::string name, std::string kind, std::filesystem::path& value, std::string what) {
  return add({std::move(name), std::move(kind), std::move(what), "", [&value](const std::string& text) -> std::string {
                if (text.empty()) return "a path";
                value = text;
                return "";
              }});
}

Option& Options::range(std::string name, std::optional<Range>& value, double low, double high, std::string what) {
  return add(
      {std::move(name), "X[..Y]", std::move(what), "", [&value, low, high](const std::string& text) -> std::string {
         const auto dots = text.find("..");
         const std::optional<double> first = numbers::parse<double>(text.substr(0, dots));
         const std::optional<double> last = dots == text.npos ? first : numbers::parse<double>(text.substr(dots + 2));
         if (!first || !last || *first < low || *last > high || *first > *last) {
           return numbers::range("a number", low, high) + ", or two of them, the lower first, as in 1..9";
         }
         value = Range(*first, *last);
         return "";
       }});
}

Option& Options::texts(std::string name, std::string kind, std::vector<std::string>& values, std::string what) {
  Option& option = add({std::move(name), std::move(kind), std::move(what), "", [&values](const std::string& text) {
                          values.push_back(text);
                          return std::string();
                        }});
  option.many = true;
  return option;
}

Option& Options::paths(std::string name, std::string kind, std::vector<std::filesystem::path>& values,
                       std::string what) {
  Option& option =
      add({std::move(name), std::move(kind), std::move(what), "", [&values](const std::string& text) -> std::string {
             if (text.empty()) return "a path";
             values.emplace_back(text);
             return "";
           }});
  option.many = true;
  return option;
}

void Options::threads() {
  threads_ = 0;
  number("--threads", *threads_, 0, 1024, "threads to use, 0: one per processor");
}

Option* Options::find(const std::string& name) {
  const auto found =
      std::find_if(options_.begin(), options_.end(), [&](const Option& option) { return option.name == name; });
  return found == options_.end() ? nullptr : &*found;
}

Option* Options::next_positional() {
  for (Option& option : options_) {
    if (is_positional(option) && (option.many || !option.given)) return &option;
  }
  return nullptr;
}

void Options::give(Option& option, const std::string& value) {
  if (option.given && !option.many) fail(option.name + ": expected once");
  option.given = true;
  const std::string expected = option.take(value);
  if (!expected.empty()) fail(option.name + " = " + files::printable(value) + ": expected " + expected);
}

bool Options::parse(const std::vector<std::string>& words) {
  if (all_words_ != nullptr) {
    *all_words_ = words;
    return true;
  }
  bool only_positional = false;
  for (auto word = words.begin(); word != words.end(); ++word) {
    if (only_positional || word->size() < 2 || word->front() != '-') {
      Option* const option = next_positional();
      if (option == nullptr) fail(files::printable(*word) + ": one argument too many");
      give(*option, *word);
      continue;
    }
    if (*word == "--") {
      only_positional = true;
      continue;
    }
    if (*word == "--help" || *word == "-h") return false;
    const std::size_t equals = word->find('=');
    const std::string name = word->substr(0, equals);
    Option* const option = find(name);
    if (option == nullptr) {
      std::vector<std::string> names;
      for (const Option& one : options_) {
        if (!is_positional(one)) names.push_back(one.name);
      }
      fail(files::printable(name) + ": no such option" + did_you_mean(name, names) + " (--help lists them)");
    }
    if (option->kind.empty()) {
      if (equals != std::string::npos) fail(name + ": expected no value");
      give(*option, "");
    } else if (equals != std::string::npos) {
      give(*option, word->substr(equals + 1));
    } else if (word + 1 == words.end() || (word + 1)->starts_with("--")) {
      fail(name + ": expected a value");
    } else {
      give(*option, *++word);
    }
  }
  check_given();
  return true;
}

void Options::check_given() const {
  for (const Option& option : options_) {
    if (option.needed && !option.given) fail(title(option) + ": is missing, expected " + option.what);
    if (!option.given) continue;
    refuse_given(option.excluded, "beside " + option.name);
  }
}

void Options::refuse_given(const std::vector<std::string>& names, const std::string& where) const {
  for (const Option& option : options_) {
    if (option.given && std::find(names.begin(), names.end(), option.name) != names.end()) {
      fail(option.name + ": has no meaning " + where);
    }
  }
}

std::string Options::help(const std::string& command) const {
  std::string usage = "usage: " + command, arguments, named;
  for (const Option& option : options_) {
    if (!is_positional(option) && option.needed) usage += ' ' + title(option);
  }
  usage += " [options]";
  for (const Option& option : options_) {
    std::string what = option.what;
    if (!option.initial.empty()) what += "; default: " + option.initial;
    (is_positional(option) ? arguments : named) += paragraph(title(option), what);
    if (is_positional(option)) usage += option.needed ? ' ' + title(option) : " [" + title(option) + ']';
  }
  named += paragraph("-h, --help", "show this");
  return usage + "\n\n" + arguments + (arguments.empty() ? "" : "\n") + named;
}

}  // namespace starling::cli

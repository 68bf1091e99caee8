// Every model as a test, "about_safety.name" or "about_liveness.name".
#include "verify/model/models.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string>

namespace verify {
namespace {

class model_test : public testing::Test {
 public:
  explicit model_test(const model& m) : model_(m) {}

  void TestBody() override {
    std::printf("  %s\n", model_.does.c_str());
    const bool deep = std::getenv("MILLRACE_DEEP") != nullptr;
    for (const search& each : model_.searches) {
      const search s = deep ? deeper(each) : sooner(each);
      const outcome o = expect_clean(*model_.make(), s);
      if (o.what != verdict::clean) continue;
      const std::string row = table_row(model_, s, o.executions);
      deep ? void(std::printf("  %s\n", row.c_str())) : expect_in_table(row);
    }
  }

 private:
  // An edit of the header changes how many executions there are, and convicts nothing.
  static void expect_in_table(const std::string& row) {
    std::ifstream in("verify/README.md");
    for (std::string line; std::getline(in, line);) {
      if (line == row) return;
    }
    ADD_FAILURE() << "model clean, but its row in verify/README.md is out of date: bazel run //verify/model:table\n"
                     "It is to be\n"
                  << row;
  }

  model model_;
};

}  // namespace
}  // namespace verify

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  for (const verify::model& m : verify::all_models()) {
    const std::string suite = m.about + (m.shows == verify::property::safety ? "_safety" : "_liveness");
    testing::RegisterTest(suite.c_str(), m.name.c_str(), nullptr, nullptr, __FILE__, __LINE__,
                          [m] { return static_cast<testing::Test*>(new verify::model_test(m)); });
  }
  const int failed = RUN_ALL_TESTS();
  if (testing::UnitTest::GetInstance()->test_to_run_count() == 0) {
    std::fprintf(stderr, "no model has a name that matches\n");
    return 1;
  }
  return failed;
}

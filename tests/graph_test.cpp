#include "starling/graph.h"

#include <gtest/gtest.h>

#include "starling/error.h"

namespace starling {
namespace {

TEST(GroupEdges, NoNodesAndNoEdges) {
  const Csr csr = group_edges({}, 0);
  EXPECT_EQ(csr.row_splits, (std::vector<std::int32_t>{0}));
  EXPECT_TRUE(csr.edges.empty());
}

TEST(GroupEdges, NodesWithoutEdges) {
  EXPECT_EQ(group_edges({}, 3).row_splits, (std::vector<std::int32_t>{0, 0, 0, 0}));
}

TEST(GroupEdges, KeepsTheOrderOfEdgesWithinANode) {
  const std::vector<std::int32_t> ends{2, 0, 2, 2, 0};
  const Csr csr = group_edges(ends, 4);
  EXPECT_EQ(csr.row_splits, (std::vector<std::int32_t>{0, 2, 2, 5, 5}));
  EXPECT_EQ(csr.edges, (std::vector<std::int32_t>{1, 4, 0, 2, 3}));
}

TEST(GroupEdges, RefusesNodesThatAreNotThere) {
  for (const std::int32_t bad : {-1, 3, 2147483647}) {
    const std::vector<std::int32_t> ends{0, bad};
    try {
      group_edges(ends, 3);
      FAIL() << bad;
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::usage);
      EXPECT_NE(std::string(error.what()).find("edge 1 ends at node " + std::to_string(bad)), std::string::npos);
    }
  }
  EXPECT_THROW(group_edges({}, -1), Error);
}

}  // namespace
}  // namespace starling

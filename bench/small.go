package main

import (
	"fmt"
	"math"
	"strings"
)

// smallTables is how many small tables the mix has, at every scale.
const smallTables = 160

// smallSize is the number of rows of the n-th: from 10 to 5,000, more of the smaller.
func smallSize(n int) int64 {
	return int64(math.Round(10 * math.Pow(500, float64(n)/(smallTables-1))))
}

// smallTables define them.
func (m *mix) smallTables() []string {
	var s []string
	for n := range smallTables {
		extra := []string{"", ", options jsonb", ", ratio float8, valid daterange"}[n%3]
		s = append(s, fmt.Sprintf("CREATE TABLE ref.r%03d (id int NOT NULL, code text NOT NULL, name text, amount numeric(12,2), changed timestamptz, parent int%s)", n, extra))
	}
	return s
}

func (m *mix) smallRows() step {
	const at = 20
	var s, some step
	for n := range smallTables {
		extra := []string{"", ", jsonb_build_object('a', $h4 % 100, 'b', md5(i::text))", ", $h4 % 1000 / 3.0::float8, daterange(date '2020-01-01' + ($h5 % 100)::int, NULL)"}[n%3]
		parent := smallSize(max(n-1, 0))
		some = append(some, m.insert(smallSize(n), 10_000, fmt.Sprintf("ref.r%03d", n),
			fmt.Sprintf("i, 'C%d-' || i, md5(i || 'r%d$seed'), ($h1 %% 1000000)::numeric / 100, timestamptz '2024-01-01 UTC' + $h2 %% 31536000 * interval '1 second', 1 + $h3 %% %d%s",
				n, n, parent, extra), "")...)
		if len(some) == at || n == smallTables-1 {
			s = append(s, strings.Join(some, ";\n"))
			some = nil
		}
	}
	return s
}

// smallIndexes give each a primary key, and most another index.
func (m *mix) smallIndexes() step {
	const at = 20
	var s, some step
	for n := range smallTables {
		some = append(some, fmt.Sprintf("ALTER TABLE ref.r%03d ADD PRIMARY KEY (id)", n))
		switch n % 8 {
		case 0, 5:
			some = append(some, fmt.Sprintf("CREATE INDEX r%03d_changed ON ref.r%03d (changed, id)", n, n))
		case 1, 2:
			some = append(some, fmt.Sprintf("ALTER TABLE ref.r%03d ADD CONSTRAINT r%03d_code UNIQUE (code)", n, n))
		case 3:
			some = append(some, fmt.Sprintf("CREATE INDEX r%03d_name ON ref.r%03d (lower(name))", n, n))
		}
		if len(some) >= at || n == smallTables-1 {
			s = append(s, strings.Join(some, ";\n"))
			some = nil
		}
	}
	return s
}

package pgtarget

import (
	"testing"

	"github.com/pgmove/pgmove/stream"
)

func TestStages(t *testing.T) {
	table := &stream.Entry{ID: 1, Desc: "TABLE", Namespace: "s", Tag: "t", Relkind: 'r'}
	longer := &stream.Entry{ID: 2, Desc: "TABLE", Namespace: "s", Tag: "t x", Relkind: 'r'}
	root := &stream.Entry{ID: 3, Desc: "TABLE", Namespace: "s", Tag: "p", Relkind: 'p'}
	target := &Target{byID: map[stream.DumpID]*stream.Entry{1: table, 2: longer, 3: root}}
	const alter = "ALTER TABLE ONLY s.t\n    ADD CONSTRAINT "
	for _, c := range []struct {
		name, desc, sql string
		deps            []stream.DumpID
		first, last     string // nothing where it is applied as a whole
		locks           []stream.DumpID
	}{
		{"primary key", "CONSTRAINT", alter + "t_pkey PRIMARY KEY (id);\n", []stream.DumpID{1},
			"CREATE UNIQUE INDEX t_pkey ON s.t USING btree (id);\n", alter + "t_pkey PRIMARY KEY USING INDEX t_pkey;\n", []stream.DumpID{1}},
		{"names that need quotes, and more statements", "CONSTRAINT",
			"ALTER TABLE ONLY \"S;\".\"a \"\"b\"\"\nc\"\n    ADD CONSTRAINT \"x)\" UNIQUE (\"a,b\", c) INCLUDE (\"d;\");\n\nALTER TABLE \"S;\".\"a\" CLUSTER ON \"x)\";\n", []stream.DumpID{1},
			"CREATE UNIQUE INDEX \"x)\" ON \"S;\".\"a \"\"b\"\"\nc\" USING btree (\"a,b\", c) INCLUDE (\"d;\");\n",
			"ALTER TABLE ONLY \"S;\".\"a \"\"b\"\"\nc\"\n    ADD CONSTRAINT \"x)\" UNIQUE USING INDEX \"x)\";\n\nALTER TABLE \"S;\".\"a\" CLUSTER ON \"x)\";\n", []stream.DumpID{1}},
		{"deferrable", "CONSTRAINT", alter + "k UNIQUE (id) DEFERRABLE INITIALLY DEFERRED;\n", []stream.DumpID{1}, "", "", nil},
		{"options", "CONSTRAINT", alter + "k UNIQUE (id) WITH (fillfactor='70');\n", []stream.DumpID{1}, "", "", nil},
		{"nulls not distinct", "CONSTRAINT", alter + "k UNIQUE NULLS NOT DISTINCT (id);\n", []stream.DumpID{1}, "", "", nil},
		{"without overlaps", "CONSTRAINT", alter + "k PRIMARY KEY (id, during WITHOUT OVERLAPS);\n", []stream.DumpID{1}, "", "", nil},
		{"exclusion", "CONSTRAINT", alter + "k EXCLUDE USING gist (during WITH &&);\n", []stream.DumpID{1}, "", "", nil},
		{"of a partitioned table", "CONSTRAINT", alter + "k PRIMARY KEY (id);\n", []stream.DumpID{3}, "", "", nil},
		{"an index", "INDEX", "CREATE INDEX i ON s.t USING btree (id);\n", []stream.DumpID{1}, "", "", nil},
		{"foreign key", "FK CONSTRAINT", alter + "fk FOREIGN KEY (a, \"b c\") REFERENCES s.\"t x\"(a, \"b c\") MATCH FULL ON DELETE CASCADE;\n", []stream.DumpID{1, 2},
			alter + "fk FOREIGN KEY (a, \"b c\") REFERENCES s.\"t x\"(a, \"b c\") MATCH FULL ON DELETE CASCADE NOT VALID;\n",
			"ALTER TABLE s.t VALIDATE CONSTRAINT fk;\n", []stream.DumpID{1}},
		{"deferred foreign key to itself", "FK CONSTRAINT", alter + "fk FOREIGN KEY (a) REFERENCES s.t(id) DEFERRABLE INITIALLY DEFERRED;\n", []stream.DumpID{1},
			alter + "fk FOREIGN KEY (a) REFERENCES s.t(id) DEFERRABLE INITIALLY DEFERRED NOT VALID;\n",
			"ALTER TABLE s.t VALIDATE CONSTRAINT fk;\n", []stream.DumpID{1}},
		{"not valid", "FK CONSTRAINT", alter + "fk FOREIGN KEY (a) REFERENCES s.t(id) NOT VALID;\n", []stream.DumpID{1}, "", "", nil},
		{"not enforced", "FK CONSTRAINT", alter + "fk FOREIGN KEY (a) REFERENCES s.t(id) NOT ENFORCED;\n", []stream.DumpID{1}, "", "", nil},
		{"of a period", "FK CONSTRAINT", alter + "fk FOREIGN KEY (a, PERIOD d) REFERENCES s.t(a, PERIOD d);\n", []stream.DumpID{1}, "", "", nil},
		{"to a partitioned table", "FK CONSTRAINT", alter + "fk FOREIGN KEY (a) REFERENCES s.p(id);\n", []stream.DumpID{1, 3}, "", "", nil},
		{"of a partitioned table", "FK CONSTRAINT", "ALTER TABLE s.p\n    ADD CONSTRAINT fk FOREIGN KEY (a) REFERENCES s.t(id);\n", []stream.DumpID{1, 3}, "", "", nil},
		{"with more after it", "FK CONSTRAINT", alter + "fk FOREIGN KEY (a) REFERENCES s.t(id);\nDROP TABLE s.t;\n", []stream.DumpID{1}, "", "", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := &stream.Entry{ID: 9, Section: stream.PostData, Desc: stream.Text(c.desc), Namespace: "s", Tag: "t x c", Defn: stream.Text(c.sql),
				Dependencies: c.deps, Locks: c.deps, Tablespace: "fast"}
			if len(c.deps) == 1 {
				e.Tag = "t c"
			}
			if c.name == "foreign key" {
				e.Tag = "t fk"
			}
			got := target.Stages(e)
			if c.first == "" {
				if got != nil {
					t.Fatalf("it was taken apart: %q", got[0].Defn)
				}
				return
			}
			if len(got) != 2 {
				t.Fatalf("%d stages", len(got))
			}
			first, last := got[0], got[1]
			if string(first.Defn) != c.first || string(last.Defn) != c.last {
				t.Errorf("%q\nthen %q", first.Defn, last.Defn)
			}
			if !first.Early || last.Early || first.ID != 9 || last.ID != 9 || first.Tablespace != "fast" || last.Share {
				t.Errorf("%+v\n%+v", first, last)
			}
			if first.Share != (c.desc == "CONSTRAINT") || len(last.Locks) != len(c.locks) || last.Locks[0] != c.locks[0] {
				t.Errorf("locks: %v shared %v, then %v", first.Locks, first.Share, last.Locks)
			}
		})
	}
}

// TestReferring: where one table's name begins another's, the longer one that fits is meant.
func TestReferring(t *testing.T) {
	target := &Target{byID: map[stream.DumpID]*stream.Entry{
		1: {ID: 1, Desc: "TABLE", Namespace: "s", Tag: "t"}, 2: {ID: 2, Desc: "TABLE", Namespace: "s", Tag: "t x"}}}
	if got := target.referring(&stream.Entry{Namespace: "s", Tag: "t x fk", Dependencies: []stream.DumpID{1, 2}}); got != 2 {
		t.Errorf("table %d", got)
	}
	if got := target.referring(&stream.Entry{Namespace: "other", Tag: "t fk", Dependencies: []stream.DumpID{1, 2}}); got != 0 {
		t.Errorf("table %d of another schema", got)
	}
}

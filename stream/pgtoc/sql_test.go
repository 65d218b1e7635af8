package pgtoc

import (
	"errors"
	"testing"
)

func TestRenameDatabase(t *testing.T) {
	for _, c := range [][2]string{
		{"", ""},
		{"COMMENT ON DATABASE src IS 'DATABASE src';\n", "COMMENT ON DATABASE \"n\"\"ew\" IS 'DATABASE src';\n"},
		{"ALTER DATABASE \"s\"\"rc\" CONNECTION LIMIT = 7;\n", "ALTER DATABASE \"n\"\"ew\" CONNECTION LIMIT = 7;\n"},
		{"ALTER DATABASE src SET \"my.database\" TO E'it\\'s on DATABASE src';", "ALTER DATABASE \"n\"\"ew\" SET \"my.database\" TO E'it\\'s on DATABASE src';"},
		{"ALTER DATABASE database IS_TEMPLATE = true;", "ALTER DATABASE \"n\"\"ew\" IS_TEMPLATE = true;"},
		{
			"GRANT CONNECT ON DATABASE src TO database;\nGRANT CREATE ON DATABASE src TO alter;\n",
			"GRANT CONNECT ON DATABASE \"n\"\"ew\" TO database;\nGRANT CREATE ON DATABASE \"n\"\"ew\" TO alter;\n",
		},
		{"ALTER ROLE database IN DATABASE src SET work_mem TO '4MB';", "ALTER ROLE database IN DATABASE \"n\"\"ew\" SET work_mem TO '4MB';"},
		{"ALTER ROLE alter IN DATABASE données RESET ALL", "ALTER ROLE alter IN DATABASE \"n\"\"ew\" RESET ALL"},
	} {
		got, err := RenameDatabase(c[0], `n"ew`)
		if err != nil || got != c[1] {
			t.Errorf("%s\n got %s, %v\nwant %s", c[0], got, err, c[1])
		}
	}
	for _, bad := range []string{"COMMENT ON DATABASE src IS 'x", `ALTER DATABASE "src`, `ALTER DATABASE src SET a TO E'\'`} {
		if got, err := RenameDatabase(bad, "new"); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: %q, %v", bad, got, err)
		}
	}
}

func TestOwnerStmt(t *testing.T) {
	for _, c := range []struct{ desc, namespace, tag, owner, drop, want string }{
		{"TABLE", "s", `a"b`, "me", "DROP TABLE s.x;\n", `ALTER TABLE "s"."a""b" OWNER TO "me";` + "\n"},
		{"SCHEMA", "", "s", "me", "DROP SCHEMA s;\n", `ALTER SCHEMA "s" OWNER TO "me";` + "\n"},
		{"PROCEDURAL LANGUAGE", "", "l", "me", "", `ALTER PROCEDURAL LANGUAGE "l" OWNER TO "me";` + "\n"},
		{"TYPE", "", "t", "me", "", `ALTER TYPE "t" OWNER TO "me";` + "\n"},
		{"BLOB", "", "50001", "me", "", `ALTER LARGE OBJECT 50001 OWNER TO "me";` + "\n"},
		{"FUNCTION", "s", "f(integer)", "me", "DROP FUNCTION s.f(a integer);\n", `ALTER FUNCTION s.f(a integer) OWNER TO "me";` + "\n"},
		{"FUNCTION", "s", "f(integer)", "me", "", ""},
		{"FUNCTION", "s", "f(integer)", "me", "-- nothing", ""},
		{"INDEX", "s", "i", "me", "DROP INDEX s.i;\n", ""},
		{"TABLE", "s", "t", "", "DROP TABLE s.t;\n", ""},
	} {
		if got := OwnerStmt(c.desc, c.namespace, c.tag, c.owner, c.drop); got != c.want {
			t.Errorf("%s %s: %q, want %q", c.desc, c.tag, got, c.want)
		}
	}
}

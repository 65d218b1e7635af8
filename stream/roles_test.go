package stream

import (
	"strings"
	"testing"
)

// TestRolesAreChecked refuses roles that no database prints.
func TestRolesAreChecked(t *testing.T) {
	good := Role{Name: "a", Limit: -1, Settings: []RoleSetting{{"search_path", []Text{"x", ""}}, {"my.own_2", []Text{"'"}}}, MemberOf: []Membership{{Role: "b"}}}
	if err := checkRoles([]Role{good, {Name: "b"}}); err != nil {
		t.Fatal(err)
	}
	for name, r := range map[string]Role{
		"empty":         {},
		"long":          {Name: Text(strings.Repeat("x", 256))},
		"NUL":           {Name: "a\x00b"},
		"NUL elsewhere": {Name: "a", ValidUntil: "\x00"},
		"setting":       {Name: "a", Settings: []RoleSetting{{"work_mem = '1'; DROP", []Text{"x"}}}},
		"no value":      {Name: "a", Settings: []RoleSetting{{"work_mem", nil}}},
		"dot":           {Name: "a", Settings: []RoleSetting{{"a..b", []Text{"x"}}}},
		"member":        {Name: "a", MemberOf: []Membership{{}}},
	} {
		if checkRoles([]Role{r}) == nil {
			t.Errorf("no error: %s", name)
		}
	}
	if checkRoles([]Role{good, good}) == nil {
		t.Error("no error of a role that is there twice")
	}
	for name, reserved := range map[Text]bool{"pg_monitor": true, "rds_superuser": true, "rdsadmin": true, "page": false, "pgbouncer": false} {
		if ReservedRole(name) != reserved {
			t.Errorf("%s", name)
		}
	}
}

package pgtarget

import (
	"strings"
	"testing"

	"github.com/pgmove/pgmove/stream"
)

// TestRoleSettingsAreNotShown: what is said of a setting or a comment that the target refuses is its name, not its value.
func TestRoleSettingsAreNotShown(t *testing.T) {
	c := &creating{Target: &Target{}}
	list := c.rest(&stream.Role{Name: "web", Settings: []stream.RoleSetting{{Name: "jwt.secret", Values: []stream.Text{"hush"}}}, Comment: "hush as well"})
	if len(list) != 2 {
		t.Fatalf("%v", list)
	}
	for _, s := range list {
		if !strings.Contains(s.sql, "hush") || strings.Contains(s.shown, "hush") || !strings.Contains(s.shown, "web") {
			t.Errorf("%q is shown as %q", s.sql, s.shown)
		}
	}
}

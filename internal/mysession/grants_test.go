package mysession

import "testing"

// TestPartialRevokes: what MySQL's partial revokes except is not had on the database; what the database itself was given is.
func TestPartialRevokes(t *testing.T) {
	t.Parallel()
	global := "GRANT SELECT, TRIGGER, EVENT ON *.* TO `u`@`%`"
	for _, c := range []struct {
		lines               []string
		sel, trigger, whole bool
	}{
		{[]string{global}, true, true, true},
		{[]string{global, "REVOKE SELECT ON `app`.* FROM `u`@`%`"}, false, true, false},
		{[]string{global, "REVOKE SELECT, TRIGGER ON `other`.* FROM `u`@`%`"}, true, true, true},
		{[]string{global, "GRANT SELECT ON `app`.* TO `u`@`%`", "REVOKE SELECT, TRIGGER ON `app`.* FROM `u`@`%`"}, true, false, false},
	} {
		p := readGrants(c.lines, "app")
		if p.Has("SELECT") != c.sel || p.Has("TRIGGER") != c.trigger || !p.Has("EVENT") || p.Everywhere("SELECT") != c.whole || p[ReadRoutines] != c.whole {
			t.Errorf("%v: %v", c.lines, p)
		}
	}
	if p := readGrants([]string{global, "REVOKE SELECT ON `mysql`.* FROM `u`@`%`"}, "app"); !p.Has("SELECT") || p[ReadRoutines] {
		t.Errorf("without mysql: %v", p)
	}
}

func TestTriggerInPlace(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"CREATE TRIGGER trg BEFORE INSERT ON t FOR EACH ROW SET NEW.a = 1":                                                  "CREATE TRIGGER trg BEFORE INSERT ON t FOR EACH ROW SET NEW.a = 1",
		"CREATE DEFINER=`app`@`%` TRIGGER IF NOT EXISTS app.trg AFTER UPDATE ON `app` . `t` FOR EACH ROW INSERT INTO app.x": "CREATE DEFINER=`app`@`%` TRIGGER IF NOT EXISTS trg AFTER UPDATE ON `t` FOR EACH ROW INSERT INTO app.x",
		"CREATE TRIGGER \"app\".\"trg\" BEFORE INSERT ON \"App\".\"t\" FOR EACH ROW SET @a = 1":                             "CREATE TRIGGER \"trg\" BEFORE INSERT ON \"t\" FOR EACH ROW SET @a = 1",
		"CREATE TRIGGER other.trg BEFORE INSERT ON app.t FOR EACH ROW SET @a = 1":                                           "",
		"CREATE TRIGGER trg BEFORE INSERT ON other.t FOR EACH ROW SET @a = 1":                                               "",
		"CREATE VIEW v AS SELECT 1": "",
	} {
		if out, ok := TriggerInPlace(in, "app"); out != want || ok != (want != "") {
			t.Errorf("%s: %q %v", in, out, ok)
		}
	}
}

package mytarget

import (
	"testing"

	"github.com/pgmove/pgmove/internal/mysession"
)

// TestOtherKinds: what only MariaDB has is found in a definition, and not in names, comments and expressions.
func TestOtherKinds(t *testing.T) {
	t.Parallel()
	nine := &Target{control: &mysession.Session{Version: mysession.Version{Num: 9070004}}}
	maria := &Target{control: &mysession.Session{Version: mysession.Version{MariaDB: true, Num: 10110019}}}
	for create, want := range map[string]string{
		"CREATE TABLE `t` (\n  `i` inet6 DEFAULT NULL\n)":                                                                      "type inet6",
		"CREATE TABLE `t` (\n  `a` int(11),\n  `u` uuid DEFAULT uuid()\n)":                                                     "type uuid",
		"CREATE TABLE `t` (\n  `a` int(11)\n) ENGINE=InnoDB WITH SYSTEM VERSIONING":                                            "SYSTEM VERSIONING",
		"CREATE TABLE `t` (\n  `f` date NOT NULL,\n  `t` date NOT NULL,\n  PERIOD FOR `p` (`f`, `t`)\n)":                       "PERIOD FOR",
		"CREATE TABLE `t` (\n  `uuid` binary(16) DEFAULT (uuid_to_bin(`uuid`)) COMMENT 'SYSTEM VERSIONING',\n  `inet4` int\n)": "",
	} {
		if got := nine.otherType(create); got != want {
			t.Errorf("%s: %q instead of %q", create, got, want)
		}
		if got := maria.otherType(create); got != "" {
			t.Errorf("%s: MariaDB lacks %q", create, got)
		}
	}
	for create, want := range map[string]bool{
		"CREATE TABLE `t` (\n  `a` int COMMENT 'PRIMARY KEY',\n  UNIQUE KEY `PRIMARY` (`a`)\n)": false,
		"CREATE TABLE `t` (\n  `a` int,\n  PRIMARY KEY (`a`)\n)":                                true,
	} {
		if hasPrimaryKey(create) != want {
			t.Errorf("%s: primary key %v", create, !want)
		}
	}
}

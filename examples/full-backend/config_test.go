package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestConfigFlagsWinOverFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "c.json")
	if err := os.WriteFile(file, []byte(`{"window":"30s","simulate":7,"threshold":12.5}`), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := parseConfig([]string{"-config", file, "-simulate", "2", "-every=100ms"})
	if err != nil {
		t.Fatal(err)
	}
	if cfg.Window != Duration(30*time.Second) || cfg.Simulate != 2 || cfg.Threshold != 12.5 || cfg.Every != Duration(100*time.Millisecond) {
		t.Errorf("got %+v", cfg)
	}
	if cfg.HTTP != defaults().HTTP {
		t.Errorf("HTTP is %q, want the default", cfg.HTTP)
	}
}

func TestConfigRefusals(t *testing.T) {
	file := filepath.Join(t.TempDir(), "c.json")
	if err := os.WriteFile(file, []byte(`{"windwo":"30s"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ args, want string }{
		{"-config=" + file, "windwo"},
		{"-plain=0.0.0.0:1883", "open to strangers"},
		{"-plain=:1883", "open to strangers"},
		{"-window=1500ms", "whole seconds"},
		{"-window=0s", "above 0"},
		{"-partitions=0", "1 to 256"},
		{"-lateness=-1s", "negative"},
		{"extra", "unexpected argument"},
	} {
		if _, err := parseConfig([]string{tt.args}); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %q", tt.args, err, tt.want)
		}
	}
}

func TestConfigProxies(t *testing.T) {
	cfg, err := parseConfig([]string{"-proxy", "10.0.0.0/8, ::1/128"})
	if err != nil {
		t.Fatal(err)
	}
	if all, err := cfg.proxies(); err != nil || len(all) != 2 || all[0].String() != "10.0.0.0/8" {
		t.Errorf("%v, %v", all, err)
	}
	if _, err := parseConfig([]string{"-proxy", "10.0.0.1"}); err == nil {
		t.Error("an address is no network")
	}
}

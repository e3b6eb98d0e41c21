package main

import (
	"cmp"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"strings"
	"time"
)

// machine is where and with what the figures were taken.
type machine struct {
	date              time.Time
	processor, system string
	processors        int
	pinnedTo          int
	memcached         string
	goVersion         string
	modules           []string
	commit            string
	mitigations       []string
	loadBefore        string
	loadAfter         string
}

func describeMachine() machine {
	m := machine{
		date: time.Now().UTC(), processor: firstOf("/proc/cpuinfo", "model name"), system: runtime.GOOS + "/" + runtime.GOARCH,
		processors: runtime.NumCPU(), goVersion: runtime.Version(), memcached: output("memcached", "--version"),
		commit: output("git", "describe", "--always", "--dirty"), loadBefore: load(),
	}
	if kernel, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		m.system += ", kernel " + strings.TrimSpace(string(kernel))
	}
	m.mitigations = mitigations()
	info, ok := debug.ReadBuildInfo()
	if ok {
		for _, d := range info.Deps {
			switch d.Path {
			case "github.com/bradfitz/gomemcache", "github.com/vmihailenco/msgpack/v5", "github.com/alexedwards/scs/v2", "github.com/gorilla/sessions":
				m.modules = append(m.modules, d.Path+" "+d.Version)
			}
		}
	}
	return m
}

// mitigations is what the kernel does at every entry, or change of process,
// against attacks on what the processor has learnt of a program: where it makes
// it forget, every request runs cold.
func mitigations() (all []string) {
	for _, name := range []string{"retbleed", "spectre_v2"} {
		text, err := os.ReadFile("/sys/devices/system/cpu/vulnerabilities/" + name)
		if did, ok := strings.CutPrefix(strings.TrimSpace(string(text)), "Mitigation: "); err == nil && ok {
			all = append(all, name+": "+did)
		}
	}
	return all
}

func firstOf(file, name string) string {
	text, err := os.ReadFile(file)
	if err != nil {
		return "unknown processor"
	}
	for line := range strings.Lines(string(text)) {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return "unknown processor"
}

func output(name string, args ...string) string {
	out, err := exec.Command(name, args...).Output()
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(out))
}

// load is the machine's load average over the last minute, five, fifteen.
func load() string {
	text, err := os.ReadFile("/proc/loadavg")
	f := strings.Fields(string(text))
	if err != nil || len(f) < 3 {
		return "unknown"
	}
	return strings.Join(f[:3], " ")
}

// lines describes it in Markdown.
func (m machine) lines() string {
	return fmt.Sprintf(`- %s: %s, %d processors, %s
- against speculation: %s
- %s, %s
- %s
- commit %s
- load average before the run %s, after it %s
`, m.date.Format("2006-01-02 15:04 MST"), m.processor, m.processors, m.system,
		cmp.Or(strings.Join(m.mitigations, "; "), "nothing, or not told"), m.goVersion, m.memcached, strings.Join(m.modules, ", "), m.commit, m.loadBefore, m.loadAfter)
}

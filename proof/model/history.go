package model

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// What the model prints in a replay, in words.
var (
	stepLine = regexp.MustCompile(`(?m)^\s*step (\w+)((?: \d+)*)$`)

	verbs   = map[int]string{1: "Add", 2: "CompareAndSwap", 3: "CompareAndDelete", 4: "Get"}
	acts    = map[int]string{1: " (the write)", 2: " (the removal)", 3: " (the move)", 4: " (the decision)"}
	answers = map[int]string{0: "done", 1: "conflict", 2: "not found", 3: "exists", 4: "no reply", 5: "unavailable", 6: "the client dies before it"}
	told    = map[int]string{1: "committed", 2: "rolled back", 3: "outcome unknown"}
)

func history(text []byte) []string {
	var steps []string
	for _, m := range stepLine.FindAllStringSubmatch(string(text), -1) {
		var n [4]int
		for i, f := range strings.Fields(m[2]) {
			if i < len(n) {
				n[i], _ = strconv.Atoi(f)
			}
		}
		var s string
		switch m[1] {
		case "asks":
			who := fmt.Sprintf("client %d", n[0])
			if n[0] == 0 {
				who = "who comes later"
			}
			s = fmt.Sprintf("%s: %s of item %d%s", who, verbs[n[1]], n[2], acts[n[3]])
		case "answers": // of the step before
			steps[len(steps)-1] += ": " + answers[n[0]]
			continue
		case "arrives":
			s = fmt.Sprintf("the delayed %s of item %d by client %d%s arrives", verbs[n[1]], n[2], n[0], acts[n[3]])
		case "tells":
			s = fmt.Sprintf("client %d: %s", n[0], told[n[1]])
		case "commits":
			s = fmt.Sprintf("client %d: its last participant commits", n[0])
		case "evicts":
			s = fmt.Sprintf("the store evicts item %d", n[0])
		case "restarts":
			s = "a server is restarted"
		case "down":
			s = fmt.Sprintf("the server of item %d stays away", n[0])
		}
		steps = append(steps, s)
	}
	return steps
}

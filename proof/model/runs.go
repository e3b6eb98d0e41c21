package model

// full returns everything that there is to check. The names are those of
// protocol/configs.pml; who takes part, and with how many faults, stands in
// protocol/scenes.pml.
func full() []run {
	return []run{
		// Every state between the bounds, without a violation; and the moments
		// that each must have come to, so that it is known to have checked something.
		{config: "SINGLE", moments: []string{"MERGED", "DELAYED_APPLIED", "DELAYED_REFUSED", "LOST_AND_FOUND_DONE", "LOST_AND_FOUND_UNDONE", "LOST_AND_UNKNOWN"}},
		{config: "CREATE", moments: []string{"CREATED", "MERGED", "DELAYED_APPLIED", "LOST_AND_FOUND_DONE", "LOST_AND_UNKNOWN", "DIED_READING", "DIED_WRITING"}},
		{config: "SHORTLINE", moments: []string{"LOST_AND_UNKNOWN", "LOST_AND_FOUND_DONE"}},
		{config: "DESTROY", moments: []string{"DESTROYED", "CREATED", "MERGED", "DELAYED_REFUSED"}},
		{config: "LOGOUTNEW", moments: []string{"DESTROYED", "CREATED", "LOST_AND_UNKNOWN"}},
		{config: "LOGOUTS", moments: []string{"DESTROYED", "DIED_WRITING", "DELAYED_APPLIED"}},
		{config: "EVICT", moments: []string{"EVICTED", "CREATED", "DESTROYED", "LOST_AND_UNKNOWN"}},
		{config: "RESTART", moments: []string{"RESTARTED_SERVER", "CREATED", "DELAYED_REFUSED"}},
		{config: "RENEW", moments: []string{"RENEWED", "TAKEN_BACK", "COPY_REPLACED", "DESTROYED", "DIED_WRITING"}},
		{config: "RENEWEVICT", moments: []string{"RENEWED", "EVICTED", "TAKEN_BACK"}},
		{config: "RENEWGRACE", moments: []string{"RENEWED", "DESTROYED", "MERGED", "LOST_AND_FOUND_DONE"}},
		{config: "INTENTS", moments: []string{
			"DECIDED", "DECIDED_TOO_LATE", "INSTALLED", "INSTALLED_BY_ANOTHER", "UNDONE_BY_ANOTHER", "NOTE_CLEARED_BY_ANOTHER", "ROLLED_BACK",
			"MERGED_UNDER_INTENT", "LEFT_BEHIND", "DIED_READING", "DIED_WRITING", "LOST_AND_FOUND_DONE", "LOST_AND_FOUND_UNDONE", "LOST_AND_UNKNOWN",
		}},
		{config: "INTENTS3", moments: []string{"DECIDED", "INSTALLED_BY_ANOTHER", "UNDONE_BY_ANOTHER", "LEFT_BEHIND", "DIED_WRITING"}},
		{config: "INTENTNEW", moments: []string{"DECIDED", "MERGED_UNDER_INTENT", "UNDONE_BY_ANOTHER", "DELAYED_APPLIED"}},
		{config: "INTENTREAD", moments: []string{"READ_UNDECIDED", "INSTALLED_BY_ANOTHER", "UNDONE_BY_ANOTHER", "DECIDED_TOO_LATE"}},
		{config: "INTENTREMOVE", moments: []string{"DECIDED", "READ_UNDECIDED", "NOTE_CLEARED_BY_ANOTHER"}},
		{config: "INTENTLOGOUT", moments: []string{"DECIDED", "DESTROYED", "CREATED", "DIED_WRITING"}},
		{config: "INTENTEVICT", moments: []string{"DECIDED", "EVICTED", "DECIDED_TOO_LATE"}},
		{config: "INTENTRESTART", moments: []string{"DECIDED", "RESTARTED_SERVER", "DECIDED_TOO_LATE"}},
		{config: "JOINLAST", moments: []string{"LAST_DECIDED", "DECIDED", "DIED_WRITING", "LOST_AND_FOUND_DONE"}},
		{config: "SERIAL", moments: []string{"DECIDED", "READ_UNDECIDED"}},
		{config: "OUTAGE", moments: []string{"DECIDED", "DIED_WRITING"}},

		// The windows that are documented. Each is what the configuration of
		// that name is without it, and no more.
		{config: "JOINLAST", window: "LAST_DIES", want: "participant_is_alone"},
		{config: "JOINLAST", window: "LAST_OUTLASTS", want: "participant_is_alone"},
		{config: "INTENTEVICT", window: "PRIMARY_EVICTED", want: "half_is_done"},
		{config: "INTENTRESTART", window: "PRIMARY_RESTARTED", want: "half_is_done"},
		{config: "LOGOUTNEW", window: "LATE_ADD", want: "destroyed_comes_back"},
		{config: "OUTAGE", window: "PRIMARY_DOWN", want: "cannot_be_read"},
		{config: "RENEW", window: "RENEWAL_DIES", want: "lives_under_two_ids"},
		{config: "RENEW", window: "REMOVAL_LOST", want: "change_is_lost"},
		{config: "RENEWGRACE", window: "REMOVAL_LOST", want: "change_is_lost"},
		{config: "SERIAL", window: "READ_SKEW", want: "half_is_read"},

		// A rule that is broken breaks a property.
		{config: "SINGLE", mutant: "CAS_NOT_COMPARED", want: "outcome_is_false"},
		{config: "SINGLE", mutant: "MERGE_TAKES_BASE", want: "change_is_lost"},
		{config: "SINGLE", mutant: "LOST_IS_DONE", want: "outcome_is_false"},
		{config: "SINGLE", mutant: "LOST_IS_REFUSED", want: "outcome_is_false"},
		{config: "SHORTLINE", mutant: "ANCESTORS_IGNORED", want: "outcome_is_false"},
		{config: "LOGOUTNEW", mutant: "ADD_REPEATED", want: "outcome_is_false"},
		{config: "DESTROY", mutant: "BIRTH_IGNORED", want: "outcome_is_false"},
		{config: "EVICT", mutant: "BIRTH_IGNORED", want: "destroyed_comes_back"},
		{config: "RESTART", mutant: "EPOCH_IGNORED", want: "change_is_lost"},
		{config: "RENEW", mutant: "REMOVED_BEFORE_ADDED", want: "change_is_lost"},
		{config: "RENEW", mutant: "COPY_NOT_REPLACED", want: "change_is_lost"},
		{config: "RENEW", mutant: "COPY_STAYS", want: "lives_under_two_ids"},
		{config: "RENEW", mutant: "LOST_REMOVAL_IS_DONE", want: "outcome_is_false"},
		{config: "RENEWGRACE", mutant: "OWN_FORWARD_FOLLOWED", want: "change_is_lost"},
		{config: "INTENTREAD", mutant: "PRIMARY_PLACED_LAST", want: "half_is_done"},
		{config: "INTENTREAD", mutant: "NOT_READ_BACK", want: "half_is_done"},
		{config: "INTENTREAD", mutant: "INSTALLED_BEFORE_DECIDED", want: "undone_change_stays"},
		{config: "INTENTREAD", mutant: "UNKNOWN_IS_ROLLED_BACK", want: "half_is_done"},
		{config: "INTENTREAD", mutant: "NOTE_CLEARED_FIRST", want: "half_is_done"},
		{config: "INTENTREAD", mutant: "NOTE_CLEARED_UNSEEN", want: "half_is_done"},
		{config: "INTENTREAD", mutant: "NOTE_GOES_FIRST", want: "half_is_done"},
		{config: "INTENTS3", mutant: "NOTE_STAYS", want: "is_never_settled"},
		{config: "INTENTREAD", mutant: "OTHERS_SETTLED_FIRST", want: "half_is_done"},
		{config: "INTENTREAD", mutant: "SETTLED_BLINDLY", want: "change_is_lost"},
		{config: "INTENTREAD", mutant: "INTENT_COMPARED_AGAINST", want: "half_is_done"},
		{config: "INTENTREAD", mutant: "UNDECIDED_IS_READ", want: "read_is_wrong"},
		{config: "INTENTREAD", mutant: "UNDONE_NOT_READ_AGAIN", want: "read_is_wrong"},
		{config: "JOINLAST", mutant: "DEADLINE_NOT_MOVED", want: "participant_is_alone"},
		{config: "JOINLAST", mutant: "NO_LAST_LOOK", want: "participant_is_alone"},
		{config: "JOINLAST", mutant: "NOT_INSISTED", want: "participant_is_alone"},
		{config: "SERIAL", mutant: "READS_NOT_VALIDATED", want: "half_is_read"},
	}
}

// brief names the runs of the short form: a few seconds together, but for the
// compiler.
var brief = map[string]bool{
	"SINGLE": true, "DESTROY": true, "LOGOUTNEW": true, "RESTART": true, "RENEW": true, "RENEWGRACE": true, "INTENTS3": true, "OUTAGE": true,

	"JOINLAST window LAST_DIES": true, "JOINLAST window LAST_OUTLASTS": true,
	"INTENTEVICT window PRIMARY_EVICTED": true, "INTENTRESTART window PRIMARY_RESTARTED": true,
	"LOGOUTNEW window LATE_ADD": true, "OUTAGE window PRIMARY_DOWN": true,
	"RENEW window RENEWAL_DIES": true, "RENEW window REMOVAL_LOST": true,

	"SINGLE mutant CAS_NOT_COMPARED": true, "SINGLE mutant MERGE_TAKES_BASE": true, "SINGLE mutant LOST_IS_DONE": true,
	"SINGLE mutant LOST_IS_REFUSED": true, "SHORTLINE mutant ANCESTORS_IGNORED": true, "LOGOUTNEW mutant ADD_REPEATED": true,
	"DESTROY mutant BIRTH_IGNORED": true, "RESTART mutant EPOCH_IGNORED": true, "RENEW mutant REMOVED_BEFORE_ADDED": true,
	"RENEW mutant COPY_NOT_REPLACED": true, "RENEW mutant COPY_STAYS": true, "RENEWGRACE mutant OWN_FORWARD_FOLLOWED": true,
	"INTENTREAD mutant INSTALLED_BEFORE_DECIDED": true, "INTENTREAD mutant NOTE_GOES_FIRST": true, "INTENTS3 mutant NOTE_STAYS": true,
}

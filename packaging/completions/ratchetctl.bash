# bash completion for ratchetctl(1)
_ratchetctl() {
  local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]} verb="" at
  local verbs="status wait hold release drain restart relay pools reconnect route"
  case $before in
    --socket) mapfile -t COMPREPLY < <(compgen -f -- "$word"); return ;;
    --level) mapfile -t COMPREPLY < <(compgen -W "0 1 2 3" -- "$word"); return ;;
    --timeout | --reason) return ;;
  esac
  for ((at = 1; at < COMP_CWORD; at++)); do
    case ${COMP_WORDS[at]} in
      --socket) ((at++)) ;;
      -*) ;;
      *) verb=${COMP_WORDS[at]}; break ;;
    esac
  done
  local words
  case $verb in
    "") words="$verbs --socket --json --help --version" ;;
    wait) words="--level --timeout --help" ;;
    hold) words="0 1 2 --reason --help" ;;
    drain) words="--reason --help" ;;
    relay) words="pause resume --help" ;;
    route) words="off on --reason --help" ;;
    *) words="--help" ;;
  esac
  mapfile -t COMPREPLY < <(compgen -W "$words" -- "$word")
}
complete -F _ratchetctl ratchetctl

# Part of launch/gpu-check.sh: what each stage runs. 0: passed; skip REASON: it cannot run here.

emulated() { [ "$device" = cuda-emulated ]; }

# One flat JSON object of "NAME=VALUE" words.
json_object() {
  local pair separator='{'
  for pair in "$@"; do
    printf '%s"%s":"%s"' "$separator" "${pair%%=*}" \
      "$(printf '%s' "${pair#*=}" | tr -d '\000-\037' | sed 's/\\/\\\\/g; s/"/\\"/g')"
    separator=,
  done
  printf '}\n'
}

num_gpus() {
  local gpus
  gpus=$(timeout 60 nvidia-smi --list-gpus 2>/dev/null | grep . || ls -d /proc/driver/nvidia/gpus/* 2>/dev/null)
  [ -z "$gpus" ] && echo 0 || echo "$gpus" | wc -l
}

stage_facts() {
  local others facts driver memory clock max_clock memory_clock power temperature
  facts=(device="$device" gpu="$(gpu_name)" date="$(date -u +%FT%TZ)" commit="$(commit)"
    version="$("$bin/worker" --version 2>/dev/null | head -n 1)" kernel="$(uname -sr)" machine="$(uname -m)"
    cpu="$(sed -n 's/^model name[[:space:]]*: //p' /proc/cpuinfo | head -n 1)" cores="$(nproc)"
    host_memory_gib="$(awk '/^MemTotal/ { printf "%.0f", $2 / 1048576 }' /proc/meminfo)")
  if emulated; then
    note "an emulated device: times mean nothing"
  elif [ -z "$no_gpu" ]; then
    # One question: without a program that holds the driver each takes a second or two.
    IFS=, read -r driver memory clock max_clock memory_clock power temperature < <(timeout 60 nvidia-smi --format=csv,noheader,nounits \
      --query-gpu=driver_version,memory.total,clocks.sm,clocks.max.sm,clocks.mem,power.limit,temperature.gpu 2>/dev/null | head -n 1)
    facts+=(gpus="$(num_gpus)" driver="$driver" memory_mib="${memory# }" clocks_idle_sm_mhz="${clock# }"
      clocks_max_sm_mhz="${max_clock# }" clocks_mem_mhz="${memory_clock# }" power_limit_w="${power# }" temperature_c="${temperature# }")
    others=$(timeout 60 nvidia-smi --query-compute-apps=pid,used_memory --format=csv,noheader 2>/dev/null | tr '\n' ';')
    [ -z "$others" ] || { facts+=(in_use_by="$others"); note "others use the GPU ($others): figures may be low"; }
    [ -n "$driver" ] || note "nvidia-smi gives nothing: no clocks"
  else
    note "$no_gpu"
  fi
  json_object "${facts[@]}" >"$raw/facts.json"
}

# What needs no GPU: the programs start, ranks find each other, a service answers.
stage_host() {
  local rc=0 ready
  run 20 "$bin/worker" --version && run 20 "$bin/coordinator" --version && run 20 "$bin/phalanx" --version || return
  ranks 2
  run 60 env -C / "${launcher[@]}" "$bin/bench_allreduce" --json || return
  exec 3< <(exec setsid "$root/launch/serve.sh" --model "$root/launch/demo/model" -np 2 --grpc-port 0 --port 0 \
    --log-level warning 2>>"$raw/$current.log")
  service=$!
  read -r -t 60 ready <&3 || { kill -TERM "$service" 2>/dev/null; note "the service did not start"; return 1; }
  ready=${ready#ready grpc=}
  run 60 "$bin/phalanx" chat --server "${ready%% *}" --message "What is 17 + 25?" --temperature 0 --max-tokens 32 || rc=$?
  tail -n 3 "$raw/$current.log" | grep -aq '= 42' || { note "the bundled model does not answer 17 + 25 = 42"; rc=1; }
  kill -TERM "$service"
  wait "$service" || { note "the service ended with exit code $?"; rc=1; }
  service=
  exec 3<&-
  return $rc
}

stage_limits() { save 60 limits.json "$bin/bench_limits" --device "$device" --json; }

# gtest NAME PROGRAM SECONDS ARGUMENT...
gtest() {
  local file=$raw/$1.json program=$2 limit=$3 rc failed
  shift 3
  rm -f "$file"
  run "$limit" "$tests/$program" "--device=$device" "--data=$root" "--gtest_output=json:$file" --gtest_color=no "$@"
  rc=$?
  failed=$(grep -a '^\[  FAILED  \]' "$raw/$current.log" | grep -ac ' ms)$')
  [ $rc -eq 0 ] || [ "$failed" -eq 0 ] || note "$failed tests failed"
  return $rc
}
stage_kernels() {
  # A few of each at toy sizes: the whole belongs to the tests of a build.
  local some=()
  emulated && some=('--gtest_filter=*DeviceRowOps*:*DeviceRope*:*LinearMatchesOracle/0:DeviceMemory*')
  gtest kernels device_kernels_test 150 "${some[@]}"
}
stage_models() {
  local some='--gtest_filter=-*Determinism*'
  emulated && some='--gtest_filter=*Goldens*yarn_8_2*:*Goldens*untied_3_1*:*Goldens*tied_14_2_on_1*:*Goldens*bundled_on_1*'
  gtest models device_model_test 120 "$some"
}
# Of a model; that of single kernels is in the stage kernels.
stage_determinism() {
  if emulated; then
    gtest determinism device_kernels_test 60 '--gtest_filter=*MatmulBits*'
  else
    gtest determinism device_model_test 60 '--gtest_filter=*Determinism*'
  fi
}

stage_hf() {
  local why
  why=$(timeout 60 python3 -c 'import torch, transformers, numpy' 2>&1) ||
    { skip "python3 cannot import torch and transformers: $(printf '%s' "$why" | tail -n 1)"; return; }
  [ -x "$PHALANX_MODEL_TOOL" ] || { skip "$PHALANX_MODEL_TOOL is missing"; return; }
  run 120 env PYTHONDONTWRITEBYTECODE=1 python3 "$root/tests/model/live_16_bit.py" --device "$device"
}

find_tool() {  # NAME: on PATH or where NVIDIA puts it
  command -v "$1" || ls -t /usr/local/cuda/bin/"$1" /opt/nvidia/nsight-*/*/"$1" 2>/dev/null | head -n 1
}

stage_sanitizer() {
  local tool check rc late=0
  emulated && { skip "the emulated device checks every access itself; compute-sanitizer works on GPUs"; return; }
  tool=$(find_tool compute-sanitizer)
  [ -n "$tool" ] || { skip "compute-sanitizer is not installed"; return; }
  for check in memcheck racecheck; do
    # It instruments each kernel that is loaded: those of the tests alone.
    run 45 env CUDA_MODULE_LOADING=LAZY "$tool" --tool "$check" --error-exitcode 86 "$tests/device_kernels_test" \
      "--device=$device" "--data=$root" \
      '--gtest_filter=*RowOps*/0:*Rope*/0:*MixedBatches*/0:*MixedBatches*/6:*LinearMatches*/1:*LinearMatches*/40:*LinearMatches*/50:*Candidates*/5'
    rc=$?
    grep -aqi 'device not supported' "$raw/$current.log" && { skip "compute-sanitizer refuses this device"; return; }
    case $rc in
      0) ;;
      86) note "$check found errors"; return 1 ;;
      # Slow, and no fault of what it watches, which was not watched to the end.
      124 | 137) note "$check: was not through within its time"; late=77 ;;
      *) note "$check: exit code $rc"; return 1 ;;
    esac
  done
  return $late
}

# find_library NAME: of a CUDA toolkit or of Python's packages, where neither the bundle nor the loader has it; its
# folder goes into the loader's path.
find_library() {
  local folder
  for folder in "$bin/../lib" "$root/.cache"/*/lib; do [ -e "$folder/$1" ] && return; done
  ! PATH=$PATH:/sbin:/usr/sbin ldconfig -p 2>/dev/null | grep -qF "$1 " || return 0
  folder=$({ ls -d /usr/local/cuda/lib64 /usr/local/cuda/targets/*/lib 2>/dev/null
    python3 -c 'import nvidia; print(*nvidia.__path__, sep="\n")' 2>/dev/null; } |
    while IFS= read -r folder; do find -L "$folder" -maxdepth 3 -name "$1" 2>/dev/null; done | head -n 1)
  [ -z "$folder" ] || export LD_LIBRARY_PATH=${folder%/*}${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
}

stage_ops() {
  emulated || find_library libcublas.so.13
  save 150 ops.json env CUDA_MODULE_LOADING=LAZY "$bin/bench_ops" --device "$device" --op all --numerics fast --json
}

# The models of decode and prefill: names of folders in bench/models.
models() { if emulated; then echo toy; else echo qwen2.5-0.5b qwen2.5-1.5b qwen2.5-7b; fi; }

# e2e FILE RANKS MODEL BATCH PROMPT OUTPUT ROUNDS: a line of raw/FILE. MODEL is one of bench/models, with dummy weights, or a
# checkpoint's folder. What has no room is noted and is no failure.
e2e() {
  local file=$1 model=$3 batch=$4 prompt=$5 rc line error
  local command=("$bin/bench_e2e" --device "$device" --numerics fast --batch "$batch" --prompt-tokens "$prompt"
    --output-tokens "$6" --rounds "$7" --json)
  if [ -d "$model" ]; then command+=(--model "$model"); else command+=(--model "$root/bench/models/$model" --load-format dummy); fi
  emulated || command+=(--max-num-batched-tokens "$step_tokens")
  ranks "$2"
  [ "$2" -eq 1 ] || command=("${launcher[@]}" "${command[@]}")
  save 90 e2e.out "${command[@]}"
  rc=$?
  line=$(grep -a '^{' "$raw/e2e.out" | tail -n 1)
  rm -f "$raw/e2e.out"
  if [ $rc -eq 0 ] && [ -n "$line" ]; then
    printf '%s\n' "$line" >>"$raw/$file"
    return 0
  fi
  # Out of time before it began, or while it ran.
  if [ $rc -eq 124 ] || [ $rc -eq 137 ]; then
    note "${model##*/}, batch $batch, prompt $prompt: was not through in time"
    return 124
  fi
  error=$(last_words "$current")
  printf '{"model":"%s","batch":%s,"prompt_tokens":%s,"ranks":%s,"error":%s}\n' "${model##*/}" "$batch" "$prompt" "$2" \
    "$(json_object "e=$error" | sed 's/^{"e"://; s/}$//')" >>"$raw/$file"
  if [[ $error =~ RESOURCE_EXHAUSTED|--max-model-len:|--kv-cache-memory-bytes: ]]; then
    note "${model##*/}, batch $batch: no room"
    return 0
  fi
  note "${model##*/}, batch $batch, prompt $prompt: exit code $rc: $error"
  return 1
}

step_tokens=2048  # of bench_e2e on GPUs

stage_decode() {
  local rc=0 model batch batches=(1 8 64 256) prompt=512 steps=32 rounds=2
  emulated && batches=(1 3) && prompt=12 && steps=3 && rounds=1
  : >"$raw/decode.jsonl"
  for model in $(models); do
    for batch in "${batches[@]}"; do
      # The first of many must still decode when the last one's prompt has been computed.
      [ "$batch" -lt 256 ] || rounds=1
      e2e decode.jsonl 1 "$model" "$batch" "$prompt" $((batch * prompt / step_tokens + steps)) $rounds || rc=$?
    done
  done
  return $rc
}

stage_prefill() {
  local rc=0 model prompt prompts=(128 1024 4096 8192)
  emulated && prompts=(16 40)
  : >"$raw/prefill.jsonl"
  for model in $(models); do
    for prompt in "${prompts[@]}"; do e2e prefill.jsonl 1 "$model" 1 "$prompt" 3 2 || rc=$?; done
  done
  return $rc
}

field() { sed -n "s/.*\"$1\":\([-+.0-9eE]*\).*/\1/p" "$2" | tail -n 1; }

# From files that are in no cache, then again.
stage_load() {
  local scratch free_mib folder model=qwen2.5-0.5b rc=0 way bytes
  scratch=$(mktemp -d "${TMPDIR:-/tmp}/gpu-check.XXXXXX") || { note "no temporary folder"; return 1; }
  emulated && model=toy
  free_mib=$(df -Pm "$scratch" | awk 'END { print $4 }')
  if ! emulated && [ "$free_mib" -lt 2048 ]; then
    rm -rf "$scratch"
    skip "$scratch has $free_mib MiB free, a checkpoint needs 2048"
    return
  fi
  folder=$scratch/$model
  run 60 "$bin/dummy_checkpoint" --config "$root/bench/models/$model" --output "$folder" || { rc=$?; rm -rf "$scratch"; return $rc; }
  bytes=$(cat "$folder"/*.safetensors | wc -c)
  : >"$raw/load.jsonl"
  for way in cold warm; do
    [ $rc -eq 0 ] || break
    if [ $way = cold ]; then
      sync
      [ "$(stat -f -c %T "$scratch")" != tmpfs ] || note "temporary files lie in memory: cold is warm"
      dd of="$folder/model.safetensors" oflag=nocache conv=notrunc,fdatasync count=0 2>/dev/null </dev/null ||
        note "the checkpoint stays in the cache: cold is warm"
    fi
    e2e load.jsonl 1 "$folder" 1 16 2 1 || rc=$?
    cp "$raw/load.jsonl" "$scratch/$way"
  done
  if [ $rc -eq 0 ] && [ -n "$(field first_token_s "$scratch/cold")" ] && [ -n "$(field first_token_s "$scratch/warm")" ]; then
    printf '{"model":"%s","checkpoint_bytes":%s,"cold_first_token_s":%s,"cold_load_s":%s,"warm_first_token_s":%s,"load_s":%s}\n' \
      "${folder##*/}" "$bytes" "$(field first_token_s "$scratch/cold")" "$(field load_s "$scratch/cold")" \
      "$(field first_token_s "$scratch/warm")" "$(field load_s "$scratch/warm")" >"$raw/load.json"
  fi
  rm -rf "$scratch"
  return $rc
}

stage_scaling() {
  local rc=0 most counts=() n model prompt=512 output=33
  most=$(num_gpus)
  emulated && most=2 && prompt=12 && output=4
  emulated || find_library libnccl.so.2
  [ "${most:-0}" -ge 2 ] || { skip "one GPU: sums between GPUs and scaling need two"; return; }
  for n in 1 2 3 4 8; do [ "$n" -le "$most" ] && counts+=("$n"); done
  : >"$raw/allreduce.jsonl"
  : >"$raw/scaling.jsonl"
  for n in "${counts[@]}"; do
    ranks "$n"
    if [ "$n" -gt 1 ]; then
      save 60 sums.out "${launcher[@]}" "$bin/bench_sums" --device "$device" --json || rc=1
      grep -a '^{' "$raw/sums.out" >>"$raw/allreduce.jsonl"
      rm -f "$raw/sums.out"
    fi
    for model in $(models); do e2e scaling.jsonl "$n" "$model" 1 "$prompt" "$output" 1 || rc=$?; done
  done
  return $rc
}

# A line "MICROSECONDS CALLS KERNEL" for each kernel of ncu's raw page, the longest of all calls first.
kernel_times() {
  awk -F'","' '
    /"Kernel Name"/ { for (i = 1; i <= NF; i++) { if ($i ~ /Kernel Name/) name = i; if ($i ~ /gpu__time_duration/) time = i }; next }
    name && $name != "" {
      kernel = $name; sub(/[<(].*/, "", kernel); sub(/.*::/, "", kernel); gsub(",", "", $time)
      total[kernel] += $time / 1000; calls[kernel]++
    }
    END { for (kernel in total) printf "%12.1f %6d  %s\n", total[kernel], calls[kernel], kernel }' | sort -rn
}

# Where a decode step's time goes: by our own clock of each op, and by ncu where it is installed and may count.
stage_profile() {
  local tool model step slowest
  local counters=gpu__time_duration.sum,dram__bytes_read.sum,sm__throughput.avg.pct_of_peak_sustained_elapsed
  # Of the largest model; a prompt of one token, so that nearly all steps are of one row.
  model=$(models | awk '{ print $NF }')
  step=(--device "$device" --numerics fast --load-format dummy --prompt-tokens 1 --rounds 1)
  if emulated; then step+=(--output-tokens 6); else step+=(--output-tokens 33); fi
  save 90 profile.txt "$bin/bench_e2e" --model "$root/bench/models/$model" "${step[@]}" --profile-ops || return
  emulated && return
  tool=$(find_tool ncu)
  [ -n "$tool" ] || { note "ncu is not installed: no counters"; return 0; }
  # Of the smallest, which loads at once. Behind the warm-up.
  model=$root/bench/models/$(models | awk '{ print $1 }')
  run 40 "$tool" --clock-control none --launch-skip 600 --launch-count 200 --csv --page raw --print-kernel-base function \
    --print-units base --metrics "$counters" \
    --log-file "$raw/ncu.csv" "$bin/bench_e2e" --model "$model" "${step[@]}" ||
    { note "ncu cannot count here: $(last_words profile)"; return 0; }
  printf '\nncu, %s, one row a step: us, launches, kernel\n%s\n' "${model##*/}" "$(kernel_times <"$raw/ncu.csv" | head -n 15)" \
    >>"$raw/profile.txt"
  slowest=$(kernel_times <"$raw/ncu.csv" | awk 'NR == 1 { print $3 }')
  [ -n "$slowest" ] || { note "ncu saw no kernel"; return 0; }
  note "the slowest kernel of a step: $slowest (raw/ncu-slowest.txt)"
  save 40 ncu-slowest.txt "$tool" --clock-control none --set full --kernel-name "regex:$slowest" --launch-skip 60 \
    --launch-count 1 "$bin/bench_e2e" --model "$model" "${step[@]}" ||
    note "ncu cannot take the full set here"
  return 0
}

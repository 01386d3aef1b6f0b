#!/usr/bin/env bash
# Makes a KIM portable model of a nep.txt, to be installed beside the driver:
#
#   bindings/kim/make-model.sh nep.txt NEP_Fan_2022_Si__MO_000000000000_000
#   kim-api-collections-management install user ./NEP_Fan_2022_Si__MO_000000000000_000
set -euo pipefail
if (($# != 2)); then
    echo "usage: $0 nep.txt NAME, such as NEP_Fan_2022_Si__MO_000000000000_000" >&2
    exit 2
fi
model=$1 name=$2
if [[ ! $name =~ ^[A-Za-z][A-Za-z0-9_]*$ ]]; then
    echo "$name: expected letters, digits and underscores, as KIM names items" >&2
    exit 2
fi
if ! read -r first _ <"$model" || [[ $first != nep* ]]; then
    echo "$model: expected a nep.txt, which begins with nep3, nep4 or nep5" >&2
    exit 1
fi
mkdir "$name"
cp "$model" "$name/nep.txt"
cat >"$name/CMakeLists.txt" <<EOF
cmake_minimum_required(VERSION 3.10)

list(APPEND CMAKE_PREFIX_PATH \$ENV{KIM_API_CMAKE_PREFIX_DIR})
find_package(KIM-API-ITEMS 2.2 REQUIRED CONFIG)

kim_api_items_setup_before_project(ITEM_TYPE "portableModel")
project($name)
kim_api_items_setup_after_project(ITEM_TYPE "portableModel")

add_kim_api_model_library(
  NAME            \${PROJECT_NAME}
  DRIVER_NAME     "NEP_nepal__MD_000000000000_000"
  PARAMETER_FILES "nep.txt"
  )
EOF
echo "$name: install it with kim-api-collections-management install user ./$name"

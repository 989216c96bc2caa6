"""Data sets: in memory where they fit, checked before use, never downloaded unasked."""

from __future__ import annotations

from lithe.data.augment import Augmentation
from lithe.data.cifar import CIFAR10_CLASSES, CIFAR10_MEAN, CIFAR10_STD, cifar10, cifar10_subset
from lithe.data.dataset import DataSet
from lithe.data.digits import cluttered_digits
from lithe.data.errors import DataError
from lithe.data.fake import fake_images
from lithe.data.folder import IMAGENET_MEAN, IMAGENET_STD, FolderImages, imagenet_folder
from lithe.data.images import Images
from lithe.data.seeding import generator_for, mixed_seed
from lithe.data.shared import shared_folder

__all__ = [
    "CIFAR10_CLASSES",
    "CIFAR10_MEAN",
    "CIFAR10_STD",
    "IMAGENET_MEAN",
    "IMAGENET_STD",
    "Augmentation",
    "DataError",
    "DataSet",
    "FolderImages",
    "Images",
    "cifar10",
    "cifar10_subset",
    "cluttered_digits",
    "fake_images",
    "generator_for",
    "imagenet_folder",
    "mixed_seed",
    "shared_folder",
]
